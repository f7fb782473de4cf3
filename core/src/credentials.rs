//! Owns temporary credentials and the arithmetic of their expiry. Pure: the time is always passed in.

use crate::secret::Secret;

/// Credentials as STS or a source gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AKIA…` for long-lived keys, `ASIA…` for temporary ones.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token; long-lived keys have none.
    pub session_token: Option<Secret>,
    /// When they cease to be valid, in seconds since the Unix epoch; long-lived keys never do.
    pub expiration: Option<i64>,
}

/// A session that has an end: what is cached and printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The access key ID.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token.
    pub session_token: Secret,
    /// When it was issued, in seconds since the Unix epoch.
    pub issued: i64,
    /// When it ends, in seconds since the Unix epoch.
    pub expiration: i64,
}

/// A session with under this many seconds left is of no use to anybody: requests take time, and clocks differ.
pub const UNUSABLE_SECONDS: i64 = 60;

/// A session with at most this many seconds left is renewed before it is printed.
///
/// botocore asks again from 15 minutes before the expiration, once per request (`_DEFAULT_ADVISORY_REFRESH_TIMEOUT`
/// in `botocore/credentials.py`; mandatory from 10). One minute more, and it is never handed one that it thinks old.
const STALE_SECONDS: i64 = 16 * 60;
/// A short session would be stale from the start; it becomes so only in the last quarter of its life.
const STALE_FRACTION: i64 = 4;

/// How much life a session has left, as the flow of `get` needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Printed as it is.
    Fresh,
    /// Printed as it is; time to renew it if that needs nobody.
    Expiring,
    /// Renewed first; printed only if that fails.
    Stale,
    /// Never printed.
    Expired,
}

impl Session {
    /// Tells how fresh the session is at `now`, in seconds since the Unix epoch.
    pub fn freshness(&self, now: i64) -> Freshness {
        let left = self.expiration.saturating_sub(now);
        let lifetime = self.expiration.saturating_sub(self.issued);
        let stale = STALE_SECONDS.min(lifetime / STALE_FRACTION);
        match left {
            ..UNUSABLE_SECONDS => Freshness::Expired,
            _ if left <= stale => Freshness::Stale,
            _ if left <= stale + stale / 2 => Freshness::Expiring,
            _ => Freshness::Fresh,
        }
    }

    /// Tells whether a person should be warned at `now` that the session ends: it has less than `seconds` left. A short
    /// one would warn from the start; it does so only in the last quarter of its life.
    pub fn ends_soon(&self, seconds: i64, now: i64) -> bool {
        let lifetime = self.expiration.saturating_sub(self.issued);
        self.expiration.saturating_sub(now) < seconds.min(lifetime / STALE_FRACTION)
    }

    /// Turns the session into credentials that can sign a call.
    pub fn to_credentials(&self) -> Credentials {
        Credentials {
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: Some(self.session_token.clone()),
            expiration: Some(self.expiration),
        }
    }

    /// Makes a session of temporary credentials; `None` if they have no token or no end.
    pub fn of(credentials: Credentials, issued: i64) -> Option<Self> {
        Some(Self {
            access_key_id: credentials.access_key_id,
            secret_access_key: credentials.secret_access_key,
            session_token: credentials.session_token?,
            issued,
            expiration: credentials.expiration?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freshness(lifetime: i64, left: i64) -> Freshness {
        let session = Session {
            access_key_id: String::new(),
            secret_access_key: Secret::new(""),
            session_token: Secret::new(""),
            issued: 1_000_000 - lifetime,
            expiration: 1_000_000,
        };
        session.freshness(1_000_000 - left)
    }

    #[test]
    fn a_one_hour_session_is_stale_for_its_last_quarter_and_expiring_for_half_as_much_before() {
        assert_eq!(freshness(3600, 3600), Freshness::Fresh);
        assert_eq!(freshness(3600, 1351), Freshness::Fresh);
        assert_eq!(freshness(3600, 1350), Freshness::Expiring);
        assert_eq!(freshness(3600, 901), Freshness::Expiring);
        assert_eq!(freshness(3600, 900), Freshness::Stale);
        assert_eq!(freshness(3600, 60), Freshness::Stale);
        assert_eq!(freshness(3600, 59), Freshness::Expired);
        assert_eq!(freshness(3600, -5), Freshness::Expired);
    }

    #[test]
    fn a_twelve_hour_session_is_stale_for_sixteen_minutes() {
        assert_eq!(freshness(43_200, 24 * 60 + 1), Freshness::Fresh);
        assert_eq!(freshness(43_200, 24 * 60), Freshness::Expiring);
        assert_eq!(freshness(43_200, 16 * 60), Freshness::Stale);
    }

    #[test]
    fn a_900_second_session_is_a_hit_for_most_of_its_life() {
        assert_eq!(freshness(900, 338), Freshness::Fresh);
        assert_eq!(freshness(900, 337), Freshness::Expiring);
        assert_eq!(freshness(900, 225), Freshness::Stale);
    }

    #[test]
    fn a_warning_comes_before_the_end_and_for_a_short_session_in_its_last_quarter() {
        let ends_soon = |lifetime: i64, left: i64, seconds: i64| {
            let session = Session {
                access_key_id: String::new(),
                secret_access_key: Secret::new(""),
                session_token: Secret::new(""),
                issued: 1_000_000 - lifetime,
                expiration: 1_000_000,
            };
            session.ends_soon(seconds, 1_000_000 - left)
        };
        assert!(!ends_soon(43_200, 1800, 1800) && ends_soon(43_200, 1799, 1800));
        assert!(!ends_soon(900, 225, 1800) && ends_soon(900, 224, 1800));
        assert!(!ends_soon(43_200, 1, 0));
    }

    #[test]
    fn nonsense_times_do_not_overflow() {
        let session = Session {
            access_key_id: String::new(),
            secret_access_key: Secret::new(""),
            session_token: Secret::new(""),
            issued: i64::MIN,
            expiration: i64::MAX,
        };
        assert_eq!(session.freshness(i64::MIN), Freshness::Fresh);
        assert_eq!(session.freshness(i64::MAX), Freshness::Expired);
    }
}
