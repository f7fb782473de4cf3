//! Owns the patience with a store that is another process or a system service: every call runs on a thread of its own
//! and is given up at its deadline, as the other side may be mute or may be waiting for a person to unlock it.

use super::StoreError;
use std::cell::{Cell, RefCell};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// How long a call may take. A daemon that answers does so in some 10 ms; one that does not would hang its clients
/// for half a minute and more.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// The way to a daemon; `C` is what a connection to it is.
pub struct Daemon<C: ?Sized> {
    label: &'static str,
    open: fn() -> Result<Arc<C>, StoreError>,
    opened: RefCell<Option<Arc<C>>>,
    /// It missed a deadline; it is not waited for again in this process.
    is_mute: Cell<bool>,
}

impl<C: ?Sized + Send + Sync + 'static> Daemon<C> {
    /// Makes the way; nothing is asked of the daemon yet.
    pub fn new(label: &'static str, open: fn() -> Result<Arc<C>, StoreError>) -> Self {
        Self { label, open, opened: RefCell::new(None), is_mute: Cell::new(false) }
    }

    /// Names the store as `keyrole_store` does.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Tells whether it has missed a deadline in this process.
    #[cfg(target_os = "linux")]
    pub fn is_mute(&self) -> bool {
        self.is_mute.get()
    }

    /// Makes one call, connecting first if this is the first one.
    ///
    /// # Errors
    /// Whatever the call gives; `Closed` if there is no answer by the deadline.
    pub fn call<T: Send + 'static>(
        &self,
        deadline: Duration,
        call: impl FnOnce(&C) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mute = || StoreError::Closed(format!("the {} does not answer", self.label));
        if self.is_mute.get() {
            return Err(mute());
        }
        let (opened, open) = (self.opened.borrow().clone(), self.open);
        let (sender, answer) = mpsc::channel();
        // A thread that is never answered ends with the process, which does not wait for it.
        let spawned = thread::Builder::new().spawn(move || {
            let result = opened.map_or_else(open, Ok).map(|connection| {
                let result = call(&connection);
                (connection, result)
            });
            // The receiver has gone if the deadline has passed.
            let _ = sender.send(result);
        });
        spawned.map_err(|error| StoreError::Unavailable(format!("no thread for the {}: {error}", self.label)))?;
        match answer.recv_timeout(deadline) {
            Ok(Ok((connection, result))) => {
                self.opened.replace(Some(connection));
                result
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.is_mute.set(true);
                Err(mute())
            }
        }
    }
}
