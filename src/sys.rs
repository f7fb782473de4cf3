//! Owns what the libraries do not offer without `unsafe`. Nothing else in keyrole may use it.

/// Closes every descriptor but the standard three. A process that was started by an SDK may have inherited the ends of
/// pipes that somebody waits for.
///
/// Must be the first thing that a process does.
#[cfg(unix)]
#[expect(unsafe_code, reason = "closing a descriptor by its number")]
pub fn close_inherited() {
    use std::os::fd::RawFd;
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return };
    let numbers: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    // The listing had a descriptor of its own, which is closed by now.
    let is_open = |number: &RawFd| std::fs::symlink_metadata(format!("/dev/fd/{number}")).is_ok();
    for number in numbers.into_iter().filter(|&number| number > 2).filter(is_open) {
        // SAFETY: this process has opened nothing itself yet, so nothing in it relies on the descriptor.
        unsafe { rustix::io::close(number) };
    }
}

/// Puts a process group into the foreground of the terminal that this process was started from.
///
/// # Errors
/// The terminal is not that of this process, or the group is not there any more.
#[cfg(unix)]
#[expect(unsafe_code, reason = "a signal mask")]
pub fn set_foreground(terminal: &std::fs::File, group: rustix::process::Pid) -> std::io::Result<()> {
    let mut before = std::mem::MaybeUninit::uninit();
    let mut stop = std::mem::MaybeUninit::uninit();
    // SAFETY: `stop` is filled by the first call before it is read, and `before` is written to and never read here.
    unsafe {
        libc::sigemptyset(stop.as_mut_ptr());
        libc::sigaddset(stop.as_mut_ptr(), libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, stop.as_ptr(), before.as_mut_ptr());
    }
    // From the background this would stop the process if the signal were not blocked.
    let done = rustix::termios::tcsetpgrp(terminal, group);
    // SAFETY: `before` was filled by the call that blocked the signal.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    Ok(done?)
}

/// Keeps the three standard streams from the children that this process starts from now on. They are handed on to every
/// child otherwise, its own ones besides, and somebody waits for their ends.
#[cfg(windows)]
#[expect(unsafe_code, reason = "changing a handle by its number")]
pub fn keep_streams() {
    use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};
    use windows_sys::Win32::System::Console::{GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE};
    for stream in [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        // SAFETY: the handle stays what it is and open; one that is none is refused.
        unsafe { SetHandleInformation(GetStdHandle(stream), HANDLE_FLAG_INHERIT, 0) };
    }
}

/// The console that this process is attached to.
#[cfg(windows)]
#[expect(unsafe_code, reason = "the system's calls for the console")]
pub mod console {
    use std::fs::File;
    use std::io;
    use std::os::windows::io::AsRawHandle;
    use std::sync::atomic::{AtomicBool, Ordering};
    use windows_sys::Win32::System::Console::{
        CTRL_BREAK_EVENT, CTRL_C_EVENT, ENABLE_ECHO_INPUT, ENABLE_LINE_INPUT, ENABLE_PROCESSED_INPUT, GetConsoleMode,
        GetConsoleWindow, SetConsoleCtrlHandler, SetConsoleMode,
    };
    use windows_sys::core::BOOL;

    /// `SIGINT` of the C runtime.
    pub const INTERRUPT: i32 = 2;
    /// The mode in which input comes in lines that are echoed, and Ctrl-C interrupts.
    pub const LINES: u32 = ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT | ENABLE_PROCESSED_INPUT;

    /// The part of it by which lines are echoed.
    pub const ECHO: u32 = ENABLE_ECHO_INPUT;

    static WAS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

    /// Tells whether the console has a window, or a terminal in its place.
    pub fn has_window() -> bool {
        // SAFETY: takes nothing.
        unsafe { !GetConsoleWindow().is_null() }
    }

    pub fn mode(console: &File) -> io::Result<u32> {
        let mut mode = 0;
        // SAFETY: the handle is open for as long as the file is, and `mode` is written to before the call returns.
        succeeded(unsafe { GetConsoleMode(console.as_raw_handle(), &raw mut mode) }).map(|()| mode)
    }

    pub fn set_mode(console: &File, mode: u32) -> io::Result<()> {
        // SAFETY: the handle is open for as long as the file is.
        succeeded(unsafe { SetConsoleMode(console.as_raw_handle(), mode) })
    }

    /// Keeps Ctrl-C from ending the process, or lets it do so again.
    pub fn catch_interrupts(is_on: bool) -> io::Result<()> {
        // SAFETY: the handler touches nothing but an atomic, and is there for as long as the process.
        succeeded(unsafe { SetConsoleCtrlHandler(Some(on_control), is_on.into()) })
    }

    /// Tells whether Ctrl-C was pressed while it was caught.
    pub fn was_interrupted() -> bool {
        WAS_INTERRUPTED.load(Ordering::SeqCst)
    }

    unsafe extern "system" fn on_control(event: u32) -> BOOL {
        let is_interrupt = matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT);
        if is_interrupt {
            WAS_INTERRUPTED.store(true, Ordering::SeqCst);
        }
        // What is not handled here goes to the system's own handler, which ends the process.
        is_interrupt.into()
    }

    fn succeeded(result: BOOL) -> io::Result<()> {
        if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Tells the standard library that there is no frame for a backtrace, as there are no tables to find one by
/// (no-unwind-tables.ld). What would give names to frames is left out for that, a thirtieth of the binary.
#[cfg(all(target_os = "linux", target_env = "musl"))]
#[expect(unsafe_code, reason = "the name of a function that the standard library calls")]
// SAFETY: it has the form that the name stands for, and reads nothing.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_step: *const std::ffi::c_void, _argument: *mut std::ffi::c_void) -> i32 {
    const END_OF_STACK: i32 = 5;
    END_OF_STACK
}
