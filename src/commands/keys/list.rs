//! `keyrole keys list`: which profiles have an access key, and where its secret is.

use super::{SECRET, place, properties_of};
use crate::config::AwsFiles;
use crate::error::{Printable, Result};
use crate::mfa::quoted;
use crate::output;
use crate::plan::Source;
use crate::profile;
use crate::stored_key::KeyStores;
use crate::world::World;
use serde_json::{Value, json};

/// Shows the keys; never a secret, and nobody is asked to unlock anything.
///
/// # Errors
/// The files cannot be read, or stdout not written.
pub fn run(as_json: bool, world: &World) -> Result<()> {
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    let mut rows = vec![["PROFILE", "ACCESS KEY", "WHERE"].map(str::to_owned)];
    let mut imports = String::new();
    let mut found: Vec<Value> = Vec::new();
    for name in sections.profile_names() {
        // What is half a key is for `doctor` to say.
        let Ok(Some(key)) = profile::own_key(&sections, name, world) else { continue };
        let shown = Printable(name).to_string();
        match key {
            Source::StoredKey { access_key_id: id, .. } => {
                // One profile that is wrong is no reason to say nothing of the others.
                let stores = profile::plan(&sections, name, world).and_then(|plan| KeyStores::open(plan.store, world));
                let (status, store, why) = match stores.as_ref().map(|stores| stores.find(&id)) {
                    Ok(Ok((_, store))) => ("stored", Some(store.label()), String::new()),
                    Ok(Err(missing)) if missing.is_closed => ("locked", None, missing.why),
                    Ok(Err(missing)) => ("missing", None, missing.why),
                    Err(error) => ("unknown", None, error.message().to_owned()),
                };
                let error = Some(&why).filter(|why| !why.is_empty());
                found.push(json!({
                    "profile": name, "access_key_id": &id, "status": status, "store": store, "error": error,
                }));
                let mut place = store.unwrap_or(status).to_owned();
                if !why.is_empty() {
                    place += &format!(": {}", Printable(&why));
                }
                rows.push([shown, id, place]);
            }
            Source::Keys { access_key_id: id, session_token: None, .. } => {
                let command = format!("keyrole keys import {}", quoted(name));
                let Some(property) = properties_of(&sections, name, SECRET).next() else { continue };
                let file = property.file.display().to_string();
                found.push(json!({
                    "profile": name, "access_key_id": &id, "status": "plain text", "store": null,
                    "file": file, "line": property.line, "import": &command,
                }));
                imports += &format!("{}\n", Printable(&command));
                rows.push([shown, id, format!("plain text in {}", Printable(&place(property)))]);
            }
            _ => {}
        }
    }
    if as_json {
        return output::print(format!("{}\n", Value::from(found)).as_bytes());
    }
    if found.is_empty() {
        output::say("keyrole: no profile has an access key\n");
        return Ok(());
    }
    let mut text = output::table(&rows);
    if !imports.is_empty() {
        text += &format!("\nto move what is plain text into the keyring:\n{imports}");
    }
    output::print(text.as_bytes())
}
