//! The prompt for the code on the terminal. The digits are echoed: a code is worthless once it is used, and people want
//! to see what they type.

use super::TokenCode;
use super::request::Request;
use crate::error::Result;
use crate::terminal::{Subject, Terminal};

/// Asks for the code of a device until it has six digits that were not used before.
///
/// # Errors
/// `Cancelled` if the answer is refused, does not come, or a signal ends the dialogue.
pub fn code(mut terminal: Terminal, request: &Request) -> Result<TokenCode> {
    let hint = request.hint();
    let subject = Subject { name: "the MFA code", hint: &hint };
    let mut dialogue = terminal.dialogue(&subject, request.patience)?;
    // Somebody whose code was rejected has read it already.
    let mut before = if request.rejected.is_none() { format!("{}\n", request.who()) } else { String::new() };
    let question = format!("{}: ", request.question());
    let code = request.code(&mut |notice| {
        let mut text = std::mem::take(&mut before);
        if !notice.is_empty() {
            text += &format!("keyrole: {notice}\n");
        }
        dialogue.ask(&text, &question)
    })?;
    dialogue.erase_answer(request.world);
    Ok(code)
}
