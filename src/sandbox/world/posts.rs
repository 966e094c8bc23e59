//! What becomes of a business's posts: spread over two months around now, published, failed, planned, left lying.
//!
//! The stories hang together: nothing is published over a token that had expired, nothing is changed before it
//! was made or after now, and no scheduled post is due at once, so that a demo does not move under its viewer.

use serde_json::{Value, json};

use super::accounts::Ledger;
use super::business::Business;
use super::dice::Dice;
use super::specials::{self, Shape};
use super::writing::{self, Writer};
use crate::sandbox::times;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Hours of the day at which people post, UTC.
const HOURS: [i64; 14] = [6, 7, 7, 8, 9, 10, 11, 12, 14, 16, 17, 17, 18, 19];
const MINUTES: [i64; 8] = [0, 0, 0, 15, 30, 30, 45, 5];

const EXPIRED: Fault = Fault {
    code: "PLATFORM_AUTH_EXPIRED",
    status: Some(401),
    retryable: false,
    said: "invalid_token",
    message: "The connection to the platform has expired. Please reconnect the account.",
};

#[rustfmt::skip]
const FAULTS: [Fault; 7] = [
    Fault { code: "RATE_LIMITED", status: Some(429), retryable: true, said: "Too Many Requests", message: "The platform limits how often this account may post. Try again later." },
    Fault { code: "INVALID_CONTENT", status: Some(400), retryable: false, said: "media_type not allowed for this account", message: "The platform refused the content of the post." },
    Fault { code: "PLATFORM_SERVER_ERROR", status: Some(503), retryable: true, said: "Service Unavailable", message: "The platform is not available right now." },
    Fault { code: "CONTENT_TOO_LARGE", status: Some(413), retryable: false, said: "payload exceeds limit", message: "The post is larger than the platform accepts." },
    Fault { code: "NETWORK_ERROR", status: None, retryable: true, said: "", message: "The connection to the platform was lost." },
    Fault { code: "INVALID_CONTENT", status: Some(422), retryable: false, said: "duplicate_content", message: "The platform has seen this text before and refused it." },
    Fault { code: "PLATFORM_SERVER_ERROR", status: Some(500), retryable: true, said: "internal error, trace 7f21", message: "The platform failed to answer." },
];

/// A failure as upstream tells of it.
struct Fault {
    code: &'static str,
    status: Option<u16>,
    retryable: bool,
    /// The platform's own words.
    said: &'static str,
    message: &'static str,
}

/// A business's posts, and how its accounts came out of them.
pub(super) struct Written {
    pub(super) posts: Vec<Value>,
    pub(super) ledgers: Vec<Ledger>,
}

/// All posts of a business, oldest first but for the specials.
pub(super) fn of(business: &'static Business, user: &str, now: i64) -> Written {
    let mut desk = Desk {
        business,
        user,
        now,
        dice: Dice::of(business.name),
        posts: Vec::new(),
        ledgers: vec![Ledger::default(); business.accounts.len()],
        faults: business.name.len(),
    };
    let mut writer = Writer::new(business);
    for number in 0..business.posts {
        let day = -29 + 59 * number / business.posts;
        let at = desk.slot(day);
        let shape = desk.shape(at);
        let accounts = desk.choose_accounts();
        let text = writer.compose(&mut desk.dice);
        desk.write(&text, at, shape, &accounts);
    }
    for special in specials::of(business.email) {
        let accounts: Vec<usize> = (0..business.accounts.len())
            .filter(|index| special.platforms.contains(&business.accounts[*index].platform()))
            .collect();
        desk.write(special.text, now + special.minutes * MINUTE, special.shape, &accounts);
    }
    Written { posts: desk.posts, ledgers: desk.ledgers }
}

/// Where one business's posts are written.
struct Desk<'a> {
    business: &'static Business,
    user: &'a str,
    now: i64,
    dice: Dice,
    posts: Vec<Value>,
    ledgers: Vec<Ledger>,
    /// Which fault is next; they take turns, so that all of them happen.
    faults: usize,
}

impl Desk<'_> {
    /// A plausible moment of a day, never close to now.
    fn slot(&mut self, day: i64) -> i64 {
        let midnight = self.now.div_euclid(DAY) * DAY + day * DAY;
        let at = midnight + self.dice.one(&HOURS) * HOUR + self.dice.one(&MINUTES) * MINUTE;
        let close = self.now - 10 * MINUTE..self.now + 15 * MINUTE;
        if close.contains(&at) { at + 2 * HOUR } else { at }
    }

    fn shape(&mut self, at: i64) -> Shape {
        match (at < self.now, self.dice.between(0, 100)) {
            (true, 0..5) => Shape::Draft,
            (true, 5..7) | (false, 0..7) => Shape::Undated,
            (true, 7..14) => Shape::Failed,
            (true, 14..21) => Shape::Partial,
            (true, _) => Shape::Published,
            (false, 7..24) => Shape::Draft,
            (false, _) => Shape::Scheduled,
        }
    }

    /// All accounts, or one or two of them, in their order.
    fn choose_accounts(&mut self) -> Vec<usize> {
        let count = self.business.accounts.len() as i64;
        if self.dice.percent(35) {
            return (0..count as usize).collect();
        }
        let mut chosen = vec![self.dice.between(0, count) as usize, self.dice.between(0, count) as usize];
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    fn write(&mut self, text: &str, at: i64, shape: Shape, accounts: &[usize]) {
        let end = at.min(self.now);
        let created = self.created(end);
        let settled = (at + self.dice.between(3_000, 95_000)).min(self.now);
        let mut group = shape;
        let mut platforms = Vec::with_capacity(accounts.len());
        if matches!(shape, Shape::Published | Shape::Failed | Shape::Partial) {
            let mut failed = 0;
            for (place, index) in accounts.iter().enumerate() {
                let fault = self.fault(*index, place, at, shape);
                failed += usize::from(fault.is_some());
                platforms.push(self.outcome(*index, fault, settled));
            }
            group = match failed {
                0 => Shape::Published,
                all if all == accounts.len() => Shape::Failed,
                _ => Shape::Partial,
            };
        } else {
            for (place, index) in accounts.iter().enumerate() {
                platforms.push(json!({
                    "platformId": self.business.accounts[*index].id, "status": shape.platform_status(place),
                }));
            }
        }
        for (platform, index) in platforms.iter_mut().zip(accounts) {
            if self.business.accounts[*index].platform() == "instagram" && accounts.len() > 1 {
                platform["content"] = json!(format!("{text}\n\n{}", self.business.words.tags));
            }
        }
        let updated = match group {
            Shape::Published | Shape::Failed | Shape::Partial => settled,
            // Mistakes are seen at once, changes of mind come later.
            _ if self.dice.percent(45) => created + self.dice.between(20_000, 9 * MINUTE),
            _ => self.dice.between(created + 10 * MINUTE, end),
        };
        let mut post = json!({
            "userId": self.user, "content": text, "status": group.status(),
            "createdAt": times::text(created), "updatedAt": times::text(updated),
            "platforms": platforms, "media": self.media(shape),
        });
        if shape != Shape::Undated {
            post["scheduledTime"] = json!(times::text(at));
        }
        self.posts.push(post);
    }

    /// A moment of somebody's working day, at least half an hour before `end`.
    fn created(&mut self, end: i64) -> i64 {
        let day = (end - self.dice.between(HOUR, 15 * DAY)).div_euclid(DAY) * DAY;
        let at = day + self.dice.between(7 * HOUR, 17 * HOUR);
        if at > end - 30 * MINUTE { at - DAY } else { at }
    }

    /// What goes wrong on one account of a post that was due.
    fn fault(&mut self, index: usize, place: usize, at: i64, shape: Shape) -> Option<&'static Fault> {
        if self.business.accounts[index].expires(self.now).is_some_and(|expired| expired <= at) {
            return Some(&EXPIRED);
        }
        let fails = match shape {
            Shape::Failed => true,
            Shape::Partial => place == 1,
            _ => false,
        };
        // One cause for the whole of a failed post, the next one for the next post.
        if fails && (place == 0 || shape == Shape::Partial) {
            self.faults += 1;
        }
        fails.then(|| &FAULTS[self.faults % FAULTS.len()])
    }

    fn outcome(&mut self, index: usize, fault: Option<&'static Fault>, at: i64) -> Value {
        let id = self.business.accounts[index].id;
        let Some(fault) = fault else {
            self.ledgers[index].succeeded(at);
            return json!({ "platformId": id, "status": "published" });
        };
        self.ledgers[index].failed(at, fault.message);
        let mut error = json!({
            "code": fault.code, "message": fault.message, "retryable": fault.retryable,
            "failedAt": times::text(at),
        });
        if let Some(status) = fault.status {
            error["platformStatusCode"] = json!(status);
            error["platformError"] = json!(fault.said);
        }
        json!({ "platformId": id, "status": "failed", "error": error })
    }

    /// Pictures: most of them elsewhere, a few as files of the sandbox.
    fn media(&mut self, shape: Shape) -> Vec<Value> {
        let chance = if matches!(shape, Shape::Pending | Shape::Processing) { 100 } else { 34 };
        if !self.dice.percent(chance) {
            return Vec::new();
        }
        let picture = *self.dice.one(self.business.words.pictures);
        if self.dice.percent(18) {
            let text = writing::drawing(self.business, &mut self.dice);
            let name = format!("{picture}.svg");
            return vec![json!({ "fileName": name, "contentType": "image/svg+xml", "text": text })];
        }
        let count = if self.dice.percent(20) { 3 } else { 1 };
        let first = self.dice.between(1, 40);
        let url = |number| json!(format!("https://media.{}/{picture}-{number:02}.jpg", self.business.site));
        (first..first + count).map(url).collect()
    }
}
