//! Owns notifications on the desktop, through the platform's own tool. Never called where a cached session is at hand,
//! never waits for long, and never says that it failed.

use crate::world::World;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The tools take a few hundredths of a second, PowerShell some seconds. On a desktop that does not answer, an error is
/// not kept back longer.
const DEADLINE: Duration = Duration::from_secs(if cfg!(windows) { 10 } else { 2 });
/// How often to look whether the tool has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The title of every notification.
#[cfg(not(windows))]
const TITLE: &str = "keyrole";
/// All that a tool gets of the environment: what leads to the desktop, and nothing of AWS.
const VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "SystemRoot",
    "windir",
    "APPDATA",
    "LOCALAPPDATA",
    "USERPROFILE",
    "TEMP",
];

/// Shows a notification; tells whether it was shown. Security: the text is in the tool's arguments, for all to see.
pub fn show(text: &str, world: &World) -> bool {
    let Some(mut tool) = tool(text, world) else { return false };
    tool.env_clear().envs(VARIABLES.iter().filter_map(|name| Some((name, world.var(name)?))));
    if cfg!(windows) {
        tool.env("KEYROLE_TEXT", text);
    }
    // Ctrl-C in the terminal is not for it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut tool, 0);
    let spawned = tool.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = spawned else { return false };
    let deadline = Instant::now() + DEADLINE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => thread::sleep(LOOK_AGAIN),
            _ => {
                // It may have ended by itself in this very moment.
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// Prepares the tool; `None` where there is no desktop.
#[cfg(not(any(windows, target_os = "macos")))]
fn tool(text: &str, world: &World) -> Option<Command> {
    ["DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"].into_iter().find_map(|name| world.var(name))?;
    // The text is a kind of HTML.
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut tool = Command::new("notify-send");
    tool.args(["--app-name=keyrole", "--", TITLE, &text]);
    Some(tool)
}

/// Prepares the tool. The texts are arguments of the script, so that no name can be taken for a part of it.
#[cfg(target_os = "macos")]
fn tool(text: &str, _world: &World) -> Option<Command> {
    let mut tool = Command::new("/usr/bin/osascript");
    tool.args(["-e", "on run {title, body}", "-e", "display notification body with title title", "-e", "end run"]);
    tool.args([TITLE, text]);
    Some(tool)
}

/// Prepares the tool. The script takes the text from the environment, so that no name can be taken for a part of it.
#[cfg(windows)]
fn tool(_text: &str, _world: &World) -> Option<Command> {
    const SCRIPT: &str = "\
        $m = [Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType = WindowsRuntime]; \
        $x = $m::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02); \
        $t = $x.GetElementsByTagName('text'); \
        $null = $t.Item(0).AppendChild($x.CreateTextNode('keyrole')); \
        $null = $t.Item(1).AppendChild($x.CreateTextNode($env:KEYROLE_TEXT)); \
        $n = [Windows.UI.Notifications.ToastNotification]::new($x); \
        $m::CreateToastNotifier('keyrole').Show($n)";
    let mut tool = Command::new("powershell.exe");
    tool.args(["-NoProfile", "-NonInteractive", "-WindowStyle", "Hidden", "-Command", SCRIPT]);
    Some(tool)
}
