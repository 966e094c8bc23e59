//! The filters of the posts list: from a query to what the store understands, and back to words, chips and links. A value
//! that is none is an error, never "0 results" (ui.md P3).

use super::{
    form::{Form, query_string},
    present::Clocks,
    views::Chip,
};
use crate::{
    clock::Millis,
    domain::{admins::ROWS_PER_PAGE, ids, plans::zone, posts::PLATFORMS, times},
    store::posts::{PostFilter, PostSort, StatusFilter},
};
use std::collections::HashMap;

/// Values of one filter that can be combined.
const LIST_MAX: usize = 200;

/// A read query of the posts list.
#[derive(Debug, Clone)]
pub struct PostQuery {
    pub filter: PostFilter,
    pub sort: PostSort,
    /// `None`: as the person prefers.
    pub per: Option<i64>,
}

/// Reads filters, order and page size.
pub fn read(form: &Form) -> Result<PostQuery, String> {
    let mut filter = PostFilter::default();
    for id in form.all("tenant").filter(|v| !v.is_empty()) {
        if !ids::is_object_id(id) {
            return Err("The tenant is not an id.".into());
        }
        filter.tenants.push(id.to_owned());
    }
    for word in form.all("status").filter(|v| !v.is_empty()) {
        filter
            .statuses
            .push(StatusFilter::parse(word).ok_or_else(|| format!("There is no status “{}”.", short(word)))?);
    }
    for name in form.all("platform").filter(|v| !v.is_empty()) {
        if !PLATFORMS.contains(&name) {
            return Err(format!("There is no platform “{}”.", short(name)));
        }
        filter.platforms.push(name.to_owned());
    }
    for list in [filter.tenants.len(), filter.statuses.len(), filter.platforms.len()] {
        if list > LIST_MAX {
            return Err(format!("At most {LIST_MAX} values of a filter can be combined."));
        }
    }
    // Times without a zone are UTC, unless the form names another.
    let zone = form
        .some("tz")
        .map_or(Ok("UTC".to_owned()), |name| zone(name).map_err(|e| format!("{}.", e.reason)))?;
    let time = |name: &str, what: &str| -> Result<Option<Millis>, String> {
        form.some(name)
            .map(|v| {
                times::from_local(v, &zone)
                    .or_else(|| times::from_iso(v))
                    .ok_or(format!("{what} is not a time."))
            })
            .transpose()
    };
    filter.from = time("from", "The start")?;
    filter.to = time("to", "The end")?;
    filter.created_from = time("created_from", "The start of creation")?;
    filter.created_to = time("created_to", "The end of creation")?;
    for span in [(filter.from, filter.to), (filter.created_from, filter.created_to)] {
        if let (Some(from), Some(to)) = span
            && from >= to
        {
            return Err("The start lies after the end.".into());
        }
    }
    filter.no_time = match form.get("when") {
        "" => false,
        "none" => true,
        word => return Err(format!("There is no time “{}”.", short(word))),
    };
    filter.media = match form.get("media") {
        "" => None,
        "with" => Some(true),
        "without" => Some(false),
        word => return Err(format!("Posts are with or without media, not “{}”.", short(word))),
    };
    filter.text = form.some("q").map(|q| q.chars().take(200).collect());
    let sort = match form.some("sort") {
        None => PostSort::ScheduledAsc,
        Some(word) => PostSort::parse(word).ok_or_else(|| format!("There is no order “{}”.", short(word)))?,
    };
    let per = match form.some("per") {
        None => None,
        Some(word) => {
            let per = word.parse().ok().filter(|n| ROWS_PER_PAGE.contains(n));
            Some(per.ok_or("A page has 25, 50 or 100 posts.")?)
        }
    };
    Ok(PostQuery { filter, sort, per })
}

fn short(word: &str) -> String {
    word.chars().take(40).collect()
}

impl PostQuery {
    /// The filters alone, as pairs in a fixed order.
    pub fn filter_pairs(&self) -> Vec<(&'static str, String)> {
        let f = &self.filter;
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        pairs.extend(f.tenants.iter().map(|v| ("tenant", v.clone())));
        pairs.extend(f.statuses.iter().map(|v| ("status", v.to_string())));
        pairs.extend(f.platforms.iter().map(|v| ("platform", v.clone())));
        pairs.extend(f.from.map(|at| ("from", times::to_local_utc(at))));
        pairs.extend(f.to.map(|at| ("to", times::to_local_utc(at))));
        pairs.extend(f.no_time.then(|| ("when", "none".into())));
        pairs.extend(f.created_from.map(|at| ("created_from", times::to_local_utc(at))));
        pairs.extend(f.created_to.map(|at| ("created_to", times::to_local_utc(at))));
        pairs.extend(f.media.map(|with| ("media", if with { "with" } else { "without" }.into())));
        pairs.extend(f.text.iter().map(|v| ("q", v.clone())));
        pairs
    }

    /// Order and page size, where they are not the usual ones.
    fn shape_pairs(&self) -> Vec<(&'static str, String)> {
        let sort = (self.sort != PostSort::ScheduledAsc).then(|| ("sort", self.sort.to_string()));
        let per = self.per.map(|per| ("per", per.to_string()));
        sort.into_iter().chain(per).collect()
    }

    /// The list with these filters, order and page size, plus `extra`.
    pub fn url(&self, base: &str, extra: &[(&str, &str)]) -> String {
        let mut pairs = self.filter_pairs();
        pairs.extend(self.shape_pairs());
        let pairs = pairs.iter().map(|(n, v)| (*n, v.as_str())).chain(extra.iter().copied());
        let query = query_string(pairs);
        if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") }
    }

    /// Filters, order and page size as a query string, to be sent along with a form.
    pub fn text(&self) -> String {
        let pairs = self.filter_pairs().into_iter().chain(self.shape_pairs()).collect::<Vec<_>>();
        query_string(pairs.iter().map(|(n, v)| (*n, v.as_str())))
    }

    /// The filters alone as a query string: what is kept of them.
    pub fn filter_text(&self) -> String {
        query_string(self.filter_pairs().iter().map(|(n, v)| (*n, v.as_str())))
    }

    /// Each filter in words with the list without it.
    pub fn chips(&self, base: &str, tenants: &HashMap<String, String>, clocks: &Clocks) -> Vec<Chip> {
        let (pairs, kept) = (self.filter_pairs(), self.shape_pairs());
        pairs
            .iter()
            .enumerate()
            .map(|(skip, (name, value))| {
                let rest: Vec<(String, String)> = pairs
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| *n != skip)
                    .map(|(_, (name, value))| ((*name).to_owned(), value.clone()))
                    .collect();
                let pairs = rest
                    .iter()
                    .map(|(n, v)| (n.as_str(), v.as_str()))
                    .chain(kept.iter().map(|(n, v)| (*n, v.as_str())));
                Chip {
                    label: label(name, value, tenants, clocks),
                    remove_url: format!("{base}?{}", query_string(pairs)),
                }
            })
            .collect()
    }

    /// All filters in words: "status Failed, tenant Acme".
    pub fn words(&self, tenants: &HashMap<String, String>, clocks: &Clocks) -> String {
        let words: Vec<String> =
            self.filter_pairs().iter().map(|(n, v)| label(n, v, tenants, clocks)).collect();
        words.join(", ")
    }
}

fn label(name: &str, value: &str, tenants: &HashMap<String, String>, clocks: &Clocks) -> String {
    let time = || times::from_local_utc(value).map(|at| clocks.moment(at).absolute).unwrap_or_default();
    match name {
        "tenant" => format!("tenant {}", tenants.get(value).map_or(value, String::as_str)),
        "status" => format!("status {}", status_label(value)),
        "platform" => format!("platform {}", platform_label(value)),
        "from" => format!("from {}", time()),
        "to" => format!("before {}", time()),
        "when" => "without a time".into(),
        "created_from" => format!("created from {}", time()),
        "created_to" => format!("created before {}", time()),
        "media" => format!("{value} media"),
        _ => format!("text “{value}”"),
    }
}

/// A status filter as people read it.
pub fn status_label(word: &str) -> &str {
    match StatusFilter::parse(word) {
        Some(StatusFilter::Draft) => "Draft",
        Some(StatusFilter::Paused) => "Paused",
        Some(StatusFilter::Scheduled) => "Scheduled",
        Some(StatusFilter::Published) => "Published",
        Some(StatusFilter::PartiallyPublished) => "Partly published",
        Some(StatusFilter::AnyPublished) => "Published (any)",
        Some(StatusFilter::Failed) => "Failed",
        None => word,
    }
}

/// A platform's own spelling of its name.
pub fn platform_label(name: &str) -> String {
    match name {
        "twitter" => "X".into(),
        "linkedin" => "LinkedIn".into(),
        "tiktok" => "TikTok".into(),
        "youtube" => "YouTube".into(),
        other => {
            let mut chars = other.chars();
            chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_errors_and_right_ones_come_back() {
        for bad in [
            "status=nope",
            "platform=myspace",
            "tenant=1",
            "from=x",
            "sort=size",
            "per=7",
            "from=2026-02-02T00:00&to=2026-01-01T00:00",
            "created_from=2026-02-02T00:00&created_to=2026-02-02T00:00",
            "created_to=yesterday",
            "when=later",
            "media=some",
            "tz=Nowhere&from=2026-03-15T10:00",
        ] {
            assert!(read(&Form::from_text(bad)).is_err(), "{bad}");
        }
        let text = "status=failed&status=paused&platform=bluesky&from=2026-03-15T10%3A00&when=none\
            &created_to=2026-03-15T10%3A00&media=without&q=a%26b";
        let query = read(&Form::from_text(text)).unwrap();
        assert_eq!(query.filter_text(), text);
        let clocks = Clocks::new(0, "Europe/Berlin");
        let chips = query.chips("/p", &HashMap::new(), &clocks);
        assert_eq!((chips.len(), chips[3].label.as_str()), (8, "from 15 Mar 2026, 11:00 CET"));
        // Typed in another zone, it is the same moment, and the address names none.
        let typed = read(&Form::from_text("from=2026-03-15T11:00&tz=Europe/Berlin")).unwrap();
        assert_eq!(typed.filter_text(), "from=2026-03-15T10%3A00");
        assert!(query.url("/p", &[("select", "matching")]).ends_with("&select=matching"));
    }
}
