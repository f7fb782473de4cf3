//! Owns the one thing that the libraries do not offer without `unsafe`.

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
