//! Owns the type that every secret lives in. It is wiped when dropped and never shown by `Debug`.

use std::fmt;
use zeroize::Zeroizing;

/// A secret text. `expose` marks each place where it crosses a border.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Shows the secret to code that has to hand it on.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

// Security: a derived Debug would print the secret in a panic or a log line.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_secret() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }
}
