//! Owns what a cached session looks like: its fingerprint, its name and its versioned entry. Never talks to AWS.

use crate::credentials::Session;
use crate::plan::{Plan, Role, Step};
use crate::secret::Secret;
use crate::secret::SecretBytes;
use crate::store::{SecretStore, StoreError};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Every entry's name begins so; the rest is the fingerprint.
pub const NAME_PREFIX: &str = "keyrole:";
/// The entry format. An entry of another version is a miss.
const VERSION: u8 = 2;

/// A digest of everything that would change what STS answers. It both names an entry and proves that it is the
/// right one, so an edited profile is a miss and two profiles for the same role share a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Computes the fingerprint of what the first `steps` steps of a plan give.
    pub fn of(plan: &Plan, steps: usize) -> Self {
        let mut digest = Fields::new();
        digest.fields(["keyrole 1", &plan.endpoint.partition]);
        // The regional endpoints of a partition give tokens that are good in all of it; the global one does not.
        digest.fields([plan.endpoint.url.as_deref().unwrap_or(""), if plan.endpoint.global { "global" } else { "" }]);
        digest.list(plan.source.identity());
        for step in &plan.steps[..steps] {
            match step {
                Step::SessionToken { mfa, duration } => {
                    digest.fields(["GetSessionToken", mfa.as_ref().map_or("", |mfa| &mfa.serial)]);
                    digest.number(*duration);
                }
                Step::AssumeRole(role) => digest.role(role),
            }
        }
        Self::first_half(digest)
    }

    /// Computes the fingerprint of an MFA device, which names the lock for asking for its codes.
    pub fn of_device(serial: &str) -> Self {
        let mut digest = Fields::new();
        digest.fields(["keyrole 1", "device", serial]);
        Self::first_half(digest)
    }

    fn first_half(digest: Fields) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&Sha256::digest(&digest.0)[..16]);
        Self(half)
    }

    /// Gives the name of the entry in the store; it tells nothing about the profile.
    pub fn name(&self) -> String {
        let mut name = String::with_capacity(NAME_PREFIX.len() + 32);
        name.push_str(NAME_PREFIX);
        // A hit writes this name, and the formatting machinery would take longer than the lookup.
        for nibble in self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
            name.extend(char::from_digit(u32::from(nibble), 16));
        }
        name
    }
}

/// Collects what is to be digested so that no two different lists of fields look the same: each is preceded by its
/// length. Digesting it in one piece is faster than in many.
struct Fields(Vec<u8>);

impl Fields {
    /// Room for everything that a plan of one role has.
    const USUAL_BYTES: usize = 512;

    fn new() -> Self {
        Self(Vec::with_capacity(Self::USUAL_BYTES))
    }

    fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn length(&mut self, length: usize) {
        // AWS's limits keep every length far below; a longer one would still be told apart by what follows.
        self.0.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    }

    fn field(&mut self, field: &str) {
        self.length(field.len());
        self.0.extend_from_slice(field.as_bytes());
    }

    fn fields<const N: usize>(&mut self, fields: [&str; N]) {
        fields.into_iter().for_each(|field| self.field(field));
    }

    fn list<'a>(&mut self, fields: impl IntoIterator<Item = &'a str, IntoIter: ExactSizeIterator>) {
        let fields = fields.into_iter();
        self.length(fields.len());
        fields.for_each(|field| self.field(field));
    }

    fn optional(&mut self, field: Option<&str>) {
        self.list(field.as_slice().iter().copied());
    }

    fn role(&mut self, role: &Role) {
        self.fields(["AssumeRole", role.arn.as_str()]);
        self.number(role.duration.unwrap_or(0));
        let mfa = role.mfa.as_ref().map(|mfa| mfa.serial.as_str());
        for optional in [&role.session_name, &role.external_id, &role.source_identity, &role.policy] {
            self.optional(optional.as_deref());
        }
        self.optional(mfa);
        self.list(role.tags.iter().flat_map(|(key, value)| [key.as_str(), value]).collect::<Vec<_>>());
        self.list(role.transitive_tags.iter().map(String::as_str));
        self.list(role.policy_arns.iter().map(String::as_str));
    }
}

/// The sessions of a store.
pub struct SessionCache<'a> {
    store: &'a dyn SecretStore,
}

impl<'a> SessionCache<'a> {
    /// Makes a cache over a store.
    pub fn new(store: &'a dyn SecretStore) -> Self {
        Self { store }
    }

    /// Finds a session. One that is torn, foreign, of another version or corrupt is not there.
    ///
    /// # Errors
    /// The store could not be asked.
    pub fn get(&self, fingerprint: &Fingerprint) -> Result<Option<Session>, StoreError> {
        Ok(self.store.get(&fingerprint.name())?.and_then(|entry| decode(fingerprint, &entry)))
    }

    /// Keeps a session until its end.
    ///
    /// # Errors
    /// The store did not take it.
    pub fn set(&self, fingerprint: &Fingerprint, session: &Session, now: i64) -> Result<(), StoreError> {
        let left = u64::try_from(session.expiration.saturating_sub(now)).unwrap_or(0);
        self.store.set(&fingerprint.name(), &encode(fingerprint, session), Duration::from_secs(left))
    }

    /// Removes a session; tells whether there was one.
    ///
    /// # Errors
    /// The store could not be asked.
    pub fn delete(&self, fingerprint: &Fingerprint) -> Result<bool, StoreError> {
        self.store.delete(&fingerprint.name())
    }
}

/// The entry: version, fingerprint, times, three packed texts, and a checksum over all of it.
fn encode(fingerprint: &Fingerprint, session: &Session) -> SecretBytes {
    let texts = [session.access_key_id.as_str(), session.secret_access_key.expose(), session.session_token.expose()];
    let size = 1 + 16 + 8 + 8 + texts.iter().map(|text| 4 + text.len()).sum::<usize>() + 8;
    let mut entry = SecretBytes::with_capacity(size);
    entry.push(VERSION);
    entry.extend_from_slice(&fingerprint.0);
    entry.extend_from_slice(&session.issued.to_be_bytes());
    entry.extend_from_slice(&session.expiration.to_be_bytes());
    for text in texts {
        pack(&mut entry, text.as_bytes());
    }
    let sum = checksum(&entry);
    entry.extend_from_slice(&sum);
    entry
}

/// The digits of base64, of which tokens and keys are made.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// All pairs of digits: a hit looks up two at a time.
static PAIRS: [[u8; 2]; 4096] = {
    let mut pairs = [[0; 2]; 4096];
    let mut index = 0;
    while index < pairs.len() {
        pairs[index] = [DIGITS[index >> 6], DIGITS[index & 63]];
        index += 1;
    }
    pairs
};

/// Adds a text: how many groups of four digits it begins with, each in three bytes, then how much is left, as it is.
fn pack(entry: &mut SecretBytes, text: &[u8]) {
    let (groups, _) = text.as_chunks::<4>();
    let value = |digit: &u8| DIGITS.iter().position(|known| known == digit);
    let number = |group: &[u8; 4]| group.iter().try_fold(0, |number, digit| Some(number << 6 | value(digit)? as u32));
    let numbers = || groups.iter().map_while(number);
    let count = numbers().count();
    let rest = &text[4 * count..];
    // A token of 64 KiB or more does not exist; cut short it fails its checksum and is a miss.
    entry.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    numbers().for_each(|number| entry.extend_from_slice(&number.to_be_bytes()[1..]));
    entry.extend_from_slice(&u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes());
    entry.extend_from_slice(rest);
}

/// Takes a text from the front of an entry.
fn unpack(entry: &mut &[u8]) -> Option<String> {
    let (count, after) = entry.split_first_chunk()?;
    let (packed, after) = after.split_at_checked(3 * usize::from(u16::from_be_bytes(*count)))?;
    let (length, after) = after.split_first_chunk()?;
    let (rest, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *entry = after;
    let (packed, _) = packed.as_chunks::<3>();
    let mut text = vec![0; 4 * packed.len() + rest.len()];
    let (groups, end) = text.split_at_mut(4 * packed.len());
    for (group, &[a, b, c]) in groups.as_chunks_mut::<4>().0.iter_mut().zip(packed) {
        let number = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let ([a, b], [c, d]) = (PAIRS[number >> 12], PAIRS[number & 4095]);
        *group = [a, b, c, d];
    }
    end.copy_from_slice(rest);
    String::from_utf8(text).ok()
}

fn decode(fingerprint: &Fingerprint, entry: &[u8]) -> Option<Session> {
    let (content, sum) = entry.split_last_chunk::<8>()?;
    let (&[version], rest) = content.split_first_chunk()?;
    let (found, rest) = rest.split_first_chunk::<16>()?;
    if version != VERSION || *found != fingerprint.0 || *sum != checksum(content) {
        return None;
    }
    let (issued, rest) = rest.split_first_chunk()?;
    let (expiration, mut rest) = rest.split_first_chunk()?;
    let session = Session {
        access_key_id: unpack(&mut rest)?,
        secret_access_key: Secret::new(unpack(&mut rest)?),
        session_token: Secret::new(unpack(&mut rest)?),
        issued: i64::from_be_bytes(*issued),
        expiration: i64::from_be_bytes(*expiration),
    };
    rest.is_empty().then_some(session)
}

/// Adds the entry up, eight bytes at a time. Each step is a bijection of the sum, so no single change goes unseen. It
/// finds torn and corrupt entries; it is no defence against the store's owner, who needs none.
fn checksum(bytes: &[u8]) -> [u8; 8] {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let add = |sum: u64, word: &[u8; 8]| {
        // An odd constant with well mixed bits: 2^64 divided by the golden ratio.
        (sum.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    add(words.iter().fold(bytes.len() as u64, add), &last).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FINGERPRINT: Fingerprint = Fingerprint([7; 16]);

    fn session() -> Session {
        Session {
            access_key_id: "ASIAEXAMPLE".into(),
            secret_access_key: Secret::new("secret"),
            session_token: Secret::new("token".repeat(200)),
            issued: 1_000,
            expiration: 4_600,
        }
    }

    #[test]
    fn a_foreign_entry_is_a_miss() {
        assert_eq!(decode(&Fingerprint([8; 16]), &encode(&FINGERPRINT, &session())), None);
    }

    #[test]
    fn an_entry_of_another_version_is_a_miss() {
        let mut entry = encode(&FINGERPRINT, &session());
        entry[0] = VERSION + 1;
        let content = entry.len() - 8;
        let sum = checksum(&entry[..content]);
        entry[content..].copy_from_slice(&sum);
        assert_eq!(decode(&FINGERPRINT, &entry), None);
    }

    #[test]
    fn a_torn_entry_is_a_miss_wherever_it_is_torn() {
        let entry = encode(&FINGERPRINT, &session());
        for length in 0..entry.len() {
            assert_eq!(decode(&FINGERPRINT, &entry[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_corrupt_entry_is_a_miss_whichever_bit_is_wrong() {
        let entry = encode(&FINGERPRINT, &session());
        for at in 0..entry.len() * 8 {
            let mut corrupt = entry.clone();
            corrupt[at / 8] ^= 1 << (at % 8);
            assert_eq!(decode(&FINGERPRINT, &corrupt), None, "bit {at}");
        }
    }

    #[test]
    fn a_token_takes_three_bytes_for_four_digits() {
        let token = |length| Session { session_token: Secret::new("a+/9".repeat(length)), ..session() };
        let size = |length| encode(&FINGERPRINT, &token(length)).len();
        assert_eq!(size(300) - size(100), 600);
    }

    proptest! {
        #[test]
        fn what_looks_like_base64_is_found_again_to_the_letter(token in "[A-Za-z0-9+/]{0,70}={0,5}[-_A-Za-z]{0,9}") {
            let session = Session { session_token: Secret::new(token), ..session() };
            prop_assert_eq!(decode(&FINGERPRINT, &encode(&FINGERPRINT, &session)), Some(session));
        }

        #[test]
        fn what_is_stored_is_found_again(
            id in "[A-Z0-9]{1,128}", secret in "\\PC{0,64}", token in "\\PC{0,3000}", issued: i64, expiration: i64,
        ) {
            let session = Session {
                access_key_id: id,
                secret_access_key: Secret::new(secret),
                session_token: Secret::new(token),
                issued,
                expiration,
            };
            prop_assert_eq!(decode(&FINGERPRINT, &encode(&FINGERPRINT, &session)), Some(session));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(&FINGERPRINT, &bytes), None);
        }
    }
}
