//! Just enough of an HTML reader to check renders. Must not be used on anything but our own pages.

/// A start tag, or an end tag with `/` before its name.
pub struct Tag {
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl Tag {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// All tags in order. Comments and the doctype are left out.
pub fn tags(page: &str) -> Vec<Tag> {
    let mut out = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if rest.starts_with('!') {
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == '>').expect("a tag ends");
        let mut tag = Tag { name: rest[..end].trim_end_matches('/').to_owned(), attributes: Vec::new() };
        rest = rest[end..].trim_start();
        while !rest.starts_with('>') {
            if let Some(after) = rest.strip_prefix('/') {
                rest = after.trim_start();
                continue;
            }
            let end =
                rest.find(|c: char| c.is_whitespace() || c == '>' || c == '=').expect("an attribute ends");
            let name = rest[..end].to_owned();
            rest = rest[end..].trim_start();
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix('=') {
                let quoted = after.strip_prefix('"').expect("values are quoted");
                let end = quoted.find('"').expect("a value ends");
                value = quoted[..end].to_owned();
                rest = quoted[end + 1..].trim_start();
            }
            tag.attributes.push((name, value));
        }
        rest = &rest[1..];
        out.push(tag);
    }
    out
}
