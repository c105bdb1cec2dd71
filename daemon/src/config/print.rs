//! Prints the configuration with the source of each value, as a file that can be read again.

use std::fmt::Write;

use toml::{Table, Value};

use super::layers::Loaded;

/// What stands for a password.
const MASK: &str = "***";

impl Loaded {
    /// The configuration as TOML, each value with its source; secrets are masked.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::new();
        self.print_table("", &self.values, &mut text);
        text
    }

    /// Prints one table: its values first, then the tables in it, as TOML wants it.
    fn print_table(&self, section: &str, table: &Table, text: &mut String) {
        let name = |key: &str| match section {
            "" => key.to_owned(),
            section => format!("{section}.{key}"),
        };
        for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
            let full = name(key);
            let shown = match value.as_str() {
                Some(url) if full == "database.url" => Value::String(mask_url(url)),
                _ => value.clone(),
            };
            let source = self
                .source(&full)
                .map_or(String::new(), |source| format!(" # {source}"));
            // Writing to a string cannot fail.
            let _written = writeln!(text, "{key} = {shown}{source}");
        }
        for (key, value) in table {
            if let Some(inner) = value.as_table() {
                let full = name(key);
                let _written = writeln!(text, "\n[{full}]");
                self.print_table(&full, inner, text);
            }
        }
    }
}

/// A database url without its password, in both notations: `postgres://user:password@host/name`
/// and `host=… password=…`.
#[must_use]
pub fn mask_url(url: &str) -> String {
    // A password may hold any character, so everything between the first colon and the last `@` goes;
    // rather too much than too little.
    let found = url.split_once("://").and_then(|(scheme, rest)| {
        let (login, host) = rest.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:{MASK}@{host}"))
    });
    let masked = found.unwrap_or_else(|| url.to_owned());
    mask_parameter(&masked)
}

/// Masks every `password=…`, up to the end of the parameter.
fn mask_parameter(url: &str) -> String {
    const NAME: &str = "password";
    let mut shown = String::new();
    let mut rest = url;
    while let Some(found) = rest.to_ascii_lowercase().find(NAME) {
        let (before, after) = rest.split_at(found + NAME.len());
        shown.push_str(before);
        let value = after.trim_start();
        match value.strip_prefix('=').map(str::trim_start) {
            Some(value) => {
                shown.push('=');
                shown.push_str(MASK);
                rest = &value[value_len(value)..];
            }
            None => rest = after,
        }
    }
    shown + rest
}

/// The length of a parameter's value, quoted or not.
fn value_len(value: &str) -> usize {
    if let Some(quoted) = value.strip_prefix('\'') {
        let mut escaped = false;
        for (index, c) in quoted.char_indices() {
            match c {
                '\\' if !escaped => escaped = true,
                '\'' if !escaped => return index + 2,
                _ => escaped = false,
            }
        }
        return value.len();
    }
    value
        .find(|c: char| c.is_whitespace() || c == '&')
        .unwrap_or(value.len())
}

#[cfg(test)]
mod tests {
    use super::mask_url;

    #[test]
    fn passwords_are_never_shown() {
        for (url, shown) in [
            ("", ""),
            (
                "postgres://localhost/divisor",
                "postgres://localhost/divisor",
            ),
            (
                "postgres://me@localhost/divisor",
                "postgres://me@localhost/divisor",
            ),
            (
                "postgres://me:s3cret@localhost:5432/d",
                "postgres://me:***@localhost:5432/d",
            ),
            (
                "postgres://me:s3@c/ret@localhost/d",
                "postgres://me:***@localhost/d",
            ),
            (
                "postgres://h/d?user=me&password=s3cret&x=1",
                "postgres://h/d?user=me&password=***&x=1",
            ),
            (
                "host=h password=s3cret user=me",
                "host=h password=*** user=me",
            ),
            (
                "host=h PASSWORD = 's3 \\'cret' user=me",
                "host=h PASSWORD=*** user=me",
            ),
            ("host=h password='s3cret", "host=h password=***"),
        ] {
            assert_eq!(mask_url(url), shown);
            assert!(!mask_url(url).contains("cret"));
        }
    }
}
