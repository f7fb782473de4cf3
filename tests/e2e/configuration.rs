//! Every mistake in the configuration is found before anything is sent, and named.

use crate::support::Home;

#[test]
fn an_unknown_profile_exits_2_and_names_the_file() {
    let home = Home::new();
    home.keyrole(["get", "nope"]).output().fails(2, &["profile `nope` is not in", ".aws/config"]);
}
