//! What IAM decides about access keys: four actions of a user on itself. It never sees a socket.

use std::collections::{BTreeMap, BTreeSet};

use super::User;
use super::encoding::{base32, base64, elements, iso_date, random};
use super::service::{Caller, Params, Refusal, State, required};

pub(super) const XMLNS: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
pub(super) const API_VERSION: &str = "2010-05-08";
/// When the keys were made that were there from the start.
const LONG_AGO: i64 = 1_577_836_800;
const KEYS_PER_USER: usize = 2;

#[derive(Default)]
pub(super) struct Iam {
    inactive: BTreeSet<String>,
    created: BTreeMap<String, i64>,
    /// For how many more calls a key is not known yet.
    unripe: BTreeMap<String, usize>,
    pub(super) delay: usize,
    pub(super) requires_mfa: bool,
    pub(super) denied: Option<String>,
    /// For how many more calls a key that was made is not listed.
    pub(super) unlisted: usize,
}

impl Iam {
    pub(super) fn is_inactive(&self, id: &str) -> bool {
        self.inactive.contains(id)
    }

    /// Tells whether a key may sign this call.
    pub(super) fn lets_in(&mut self, id: &str) -> bool {
        if let Some(left) = self.unripe.get_mut(id).filter(|left| **left > 0) {
            *left -= 1;
            return false;
        }
        !self.is_inactive(id)
    }
}

impl State {
    /// Carries out one of the actions and returns the inside of its result element.
    pub(super) fn act_iam(&mut self, caller: &Caller, action: &str, params: &Params) -> Result<String, Refusal> {
        let (user, mfa) = match caller {
            Caller::User(user) => (user.clone(), false),
            Caller::UserSession { user, mfa: true } => (user.clone(), true),
            // IAM takes no session that was made without MFA.
            Caller::UserSession { mfa: false, .. } => return Err(Refusal::unknown_token()),
            Caller::RoleSession { .. } => return Err(denied(caller, action)),
        };
        if self.iam.requires_mfa && !mfa || self.iam.denied.as_deref() == Some(action) {
            return Err(denied(caller, action));
        }
        match action {
            "ListAccessKeys" => Ok(self.list_access_keys(&user)),
            "CreateAccessKey" => self.create_access_key(&user),
            "UpdateAccessKey" => {
                let id = self.own_key(&user, params)?;
                if required(params, "Status", "status")? != "Inactive" {
                    self.iam.inactive.remove(&id);
                } else {
                    self.iam.inactive.insert(id);
                }
                Ok(String::new())
            }
            "DeleteAccessKey" => {
                let id = self.own_key(&user, params)?;
                self.users.remove(&id);
                self.iam.inactive.remove(&id);
                Ok(String::new())
            }
            _ => Err(Refusal::unknown_action(action, API_VERSION)),
        }
    }

    fn ids_of(&self, user: &User) -> Vec<String> {
        let same = self.users.values().filter(|other| other.arn() == user.arn());
        same.map(|other| other.access_key_id.clone()).collect()
    }

    fn own_key(&self, user: &User, params: &Params) -> Result<String, Refusal> {
        let id = required(params, "AccessKeyId", "accessKeyId")?;
        let message = format!("The Access Key with id {id} cannot be found.");
        let found = self.ids_of(user).into_iter().find(|own| own == id);
        found.ok_or_else(|| Refusal::sender(404, "NoSuchEntity", message))
    }

    fn list_access_keys(&mut self, user: &User) -> String {
        let is_lagging = self.iam.unlisted > 0;
        self.iam.unlisted = self.iam.unlisted.saturating_sub(1);
        let members: Vec<String> = self
            .ids_of(user)
            .into_iter()
            .filter(|id| !is_lagging || !self.iam.created.contains_key(id))
            .map(|id| {
                let status = if self.iam.is_inactive(&id) { "Inactive" } else { "Active" };
                let created = iso_date(self.iam.created.get(&id).copied().unwrap_or(LONG_AGO));
                let fields = [
                    ("UserName", user.name.clone()),
                    ("AccessKeyId", id),
                    ("Status", status.to_owned()),
                    ("CreateDate", created),
                ];
                format!("\n      <member>{}\n      </member>", elements(&fields))
            })
            .collect();
        let none = elements(&[("IsTruncated", "false".to_owned())]);
        format!("\n    <AccessKeyMetadata>{}\n    </AccessKeyMetadata>{none}", members.concat())
    }

    fn create_access_key(&mut self, user: &User) -> Result<String, Refusal> {
        if self.ids_of(user).len() >= KEYS_PER_USER {
            let message = format!("Cannot exceed quota for AccessKeysPerUser: {KEYS_PER_USER}");
            return Err(Refusal::sender(409, "LimitExceeded", message));
        }
        let id = format!("AKIA{}", &base32(&random::<16>())[..16]);
        let secret = base64(&random::<30>());
        let now = self.now();
        self.iam.created.insert(id.clone(), now);
        self.iam.unripe.insert(id.clone(), self.iam.delay);
        let key = User { access_key_id: id.clone(), secret_access_key: secret.clone(), ..user.clone() };
        self.users.insert(id.clone(), key);
        let fields = [
            ("UserName", user.name.clone()),
            ("AccessKeyId", id),
            ("Status", "Active".to_owned()),
            ("SecretAccessKey", secret),
            ("CreateDate", iso_date(now)),
        ];
        Ok(format!("\n    <AccessKey>{}\n    </AccessKey>", elements(&fields)))
    }
}

fn denied(caller: &Caller, action: &str) -> Refusal {
    let user = caller.arn();
    Refusal::denied(format!(
        "User: {user} is not authorized to perform: iam:{action} on resource: {user} with an explicit deny in an \
         identity-based policy"
    ))
}
