//! Builds one line of JSON by hand, as a hit writes one and a serializer would take longer than the rest of it.

use crate::error::Printable;
use crate::output::decimal;
use std::time::Duration;

/// The longest text of one field. A message is cut to less than this when it is made, but for what has to be escaped.
const MAX_TEXT_BYTES: usize = 1500;

/// One line that is being built.
pub struct Line(Vec<u8>);

impl Line {
    /// Room for the line of a hit.
    const USUAL_BYTES: usize = 512;

    pub fn new() -> Self {
        Self(Vec::with_capacity(Self::USUAL_BYTES))
    }

    /// Adds a text that is known to hold nothing that would have to be escaped.
    pub fn plain(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.push(b'"');
        self.add(value);
        self.0.push(b'"');
    }

    /// Adds a text. Security: what AWS or another program says must not move the cursor of whoever reads the log.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    pub fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.digits(value, 1);
    }

    pub fn milliseconds(&mut self, name: &str, value: Duration) {
        self.name(name);
        self.digits(value.as_secs() * 1000 + u64::from(value.subsec_millis()), 1);
        self.0.push(b'.');
        self.digits(u64::from(value.subsec_micros() % 1000), 3);
    }

    pub fn list(&mut self, name: &str, values: &[String]) {
        self.name(name);
        self.0.push(b'[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.quoted(value);
        }
        self.0.push(b']');
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.add("}\n");
        self.0
    }

    fn add(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn name(&mut self, name: &str) {
        self.add(if self.0.is_empty() { "{\"" } else { ",\"" });
        self.add(name);
        self.add("\":");
    }

    fn quoted(&mut self, value: &str) {
        self.0.push(b'"');
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if value.len() <= MAX_TEXT_BYTES && value.bytes().all(is_plain) {
            self.add(value);
        } else {
            self.escaped(value);
        }
        self.0.push(b'"');
    }

    fn escaped(&mut self, value: &str) {
        let mut value = Printable(value).to_string();
        value.truncate(value.floor_char_boundary(MAX_TEXT_BYTES));
        for byte in value.bytes() {
            if matches!(byte, b'"' | b'\\') {
                self.0.push(b'\\');
            }
            self.0.push(byte);
        }
    }

    fn digits(&mut self, value: u64, at_least: usize) {
        self.0.extend_from_slice(decimal(value, at_least, &mut [0; 20]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: Line) -> serde_json::Value {
        let bytes = line.finish();
        assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 1);
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_line_is_one_json_object() {
        let mut line = Line::new();
        line.text("a", "b\"\\c\u{1b}[2J\nd");
        line.number("n", u64::MAX);
        line.number("zero", 0);
        line.milliseconds("ms", Duration::from_micros(61_042));
        line.list("l", &["x 1".into(), "y 2".into()]);
        let value = parsed(line);
        assert_eq!(value["a"], "b\"\\c\\u{1b}[2J\\nd");
        assert_eq!((&value["n"], &value["zero"], &value["ms"]), (&u64::MAX.into(), &0.into(), &61.042.into()));
        assert_eq!(value["l"], serde_json::json!(["x 1", "y 2"]));
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_is_shown_to_a_person(text in any::<String>()) {
            let mut line = Line::new();
            line.text("text", &text);
            let value = parsed(line);
            let shown = Printable(&text).to_string();
            prop_assert!(shown.starts_with(value["text"].as_str().unwrap()));
        }

        #[test]
        fn no_text_makes_a_line_long(text in any::<char>()) {
            let mut line = Line::new();
            line.text("text", &text.to_string().repeat(5000));
            prop_assert!(line.finish().len() <= 2 * MAX_TEXT_BYTES + 20);
        }
    }
}
