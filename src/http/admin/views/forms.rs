//! Form fields as they are printed back: what was typed and what is wrong with it.
//!
//! Must not validate. Secrets must not be put into `value`: the pages never print them back.

use askama::Template;
use askama::filters::HtmlSafe;

/// One field. Labels and hints belong to the template.
#[derive(Clone, Debug, Default)]
pub struct Field {
    pub name: &'static str,
    pub value: String,
    /// The message, the same beside the field and in the summary.
    pub error: Option<String>,
}

impl Field {
    pub fn new(name: &'static str) -> Field {
        Field { name, value: String::new(), error: None }
    }

    pub fn filled(name: &'static str, value: impl Into<String>) -> Field {
        Field { name, value: value.into(), error: None }
    }

    pub fn with_error(mut self, error: impl Into<String>) -> Field {
        self.error = Some(error.into());
        self
    }
}

/// One option of a select, or one box of a group.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub value: String,
    pub label: String,
    /// Second line; may be empty.
    pub hint: String,
    pub selected: bool,
}

impl Choice {
    pub fn new(value: impl Into<String>, label: impl Into<String>, selected: bool) -> Choice {
        Choice { value: value.into(), label: label.into(), hint: String::new(), selected }
    }
}

/// Choices under a heading.
#[derive(Clone, Debug, Default)]
pub struct ChoiceGroup {
    pub label: String,
    pub choices: Vec<Choice>,
}

/// "There is a problem", with a link for each field. Prints nothing when nothing is wrong.
#[derive(Template, Clone, Debug, Default)]
#[template(path = "partials/summary.html")]
pub struct Summary {
    /// Field name and message; an empty name is a message about the whole form.
    pub errors: Vec<(&'static str, String)>,
}

impl HtmlSafe for Summary {}

impl Summary {
    pub fn of(whole: &Option<String>, fields: &[&Field]) -> Summary {
        let mut errors: Vec<_> = whole.iter().map(|text| ("", text.clone())).collect();
        errors.extend(fields.iter().filter_map(|f| f.error.clone().map(|text| (f.name, text))));
        Summary { errors }
    }
}
