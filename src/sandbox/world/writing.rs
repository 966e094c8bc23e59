//! Composes a business's posts from its words, without saying the same thing twice while it can be helped.

use std::collections::HashSet;

use super::business::Business;
use super::dice::Dice;

/// How often a text that was used already is thrown again.
const TRIES: usize = 60;

/// Writes for one business.
pub(super) struct Writer {
    business: &'static Business,
    used: HashSet<String>,
}

impl Writer {
    /// One that has written nothing yet.
    pub(super) fn new(business: &'static Business) -> Writer {
        Writer { business, used: HashSet::new() }
    }

    /// The next text. The sentence before its ending is new, if there is one left.
    pub(super) fn compose(&mut self, dice: &mut Dice) -> String {
        let words = &self.business.words;
        let mut body = String::new();
        for _ in 0..TRIES {
            let (line, what, extra) = (*dice.one(words.lines), *dice.one(words.what), *dice.one(words.extra));
            body = line
                .replace("{what}", what)
                .replace("{What}", &capitalised(what))
                .replace("{extra}", extra)
                .replace("{Extra}", &capitalised(extra));
            if self.used.insert(body.clone()) {
                break;
            }
        }
        let end = dice.one(words.ends).replace("{site}", self.business.site);
        let gap = match (end.is_empty(), dice.percent(40)) {
            (true, _) => "",
            (false, true) => "\n\n",
            (false, false) => " ",
        };
        format!("{body}{gap}{end}")
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A small drawing that says whose it is, as a file to seed.
pub(super) fn drawing(business: &Business, dice: &mut Dice) -> String {
    let (back, front) = *dice.one(&[
        ("#1d3557", "#f1faee"),
        ("#588157", "#fefae0"),
        ("#bc6c25", "#fefae0"),
        ("#5f0f40", "#ffe8d6"),
    ]);
    let name = business.name.replace('&', "&amp;");
    let (x, y, r) = (dice.between(200, 1000), dice.between(120, 500), dice.between(60, 220));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1200 630\">\
         <rect width=\"1200\" height=\"630\" fill=\"{back}\"/>\
         <circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"{front}\" opacity=\".35\"/>\
         <text x=\"80\" y=\"540\" font-family=\"sans-serif\" font-size=\"64\" fill=\"{front}\">{name}</text></svg>"
    )
}
