//! The tenants of the agency: eight small businesses, the last of which has only just joined.

use super::business::Token::{Endless, Gone, Left};
use super::business::{Account, Business, Words};

const fn account(
    id: &'static str,
    handle: &'static str,
    profile: &'static str,
    token: super::business::Token,
) -> Account {
    Account { id, handle, profile, token }
}

#[rustfmt::skip]
pub(super) const TENANTS: &[Business] = &[
    Business {
        name: "Bäckerei Morgenrot", email: "hallo@baeckerei-morgenrot.example", site: "baeckerei-morgenrot.example",
        posts: 78, link_days: None,
        accounts: &[
            account("instagram-17841405793187218", "baeckerei.morgenrot", "https://www.instagram.com/baeckerei.morgenrot", Left(47 * 24)),
            account("facebook-104882931127745", "Bäckerei Morgenrot", "https://www.facebook.com/baeckereimorgenrot", Left(80)),
            account("threads-26118340927750113", "baeckerei.morgenrot", "https://www.threads.net/@baeckerei.morgenrot", Left(33 * 24)),
        ],
        words: Words {
            lines: &[
                "Frisch aus dem Ofen: {what}, {extra}.",
                "Heute im Körbchen: {what}. Gibt es {extra}.",
                "{What}? Ja, bitte! Heute {extra} 🥨",
                "Wer braucht einen guten Start in den Tag? {What}, {extra} ☀️",
                "Jörg steht seit drei Uhr in der Backstube. Das Ergebnis: {what}, {extra}.",
                "Ihr habt gefragt, wir backen: {what}, {extra}!",
                "Nur diese Woche: {what}. Wie immer {extra}.",
                "Kleiner Gruß aus der Backstube: {what} 💛 {extra}, versprochen.",
            ],
            what: &["Dinkelbrötchen", "Rosinenschnecken", "unser Roggenbrot mit Kümmel", "Franzbrötchen", "Käsekuchen wie bei Oma", "Mohnzöpfe", "Apfeltaschen", "das große Bauernbrot", "Quarkbällchen"],
            extra: &["noch warm", "ohne Hefe und ohne Eile", "solange der Vorrat reicht", "mit Butter aus dem Allgäu", "ab halb sieben", "auch zum Mitnehmen", "mit 48 Stunden Teigruhe", "zwei zum Preis von einem"],
            ends: &["", "", "Bis gleich!", "Euer Team vom Morgenrot 🌅", "Vorbestellen: https://{site}/vorbestellung", "Mo–Sa 6:30–18:00, Lindenstraße 4", "Schönen Tag euch allen! 🥖"],
            tags: "#bäckerei #handwerk #sauerteig #frühstück",
            pictures: &["brot", "theke", "backstube", "kuchen"],
        },
    },
    Business {
        name: "Summit Hall Climbing", email: "team@summithall.example", site: "summithall.example",
        posts: 74, link_days: Some(30.0),
        accounts: &[
            account("instagram-17841400008460056", "summithall", "https://www.instagram.com/summithall", Left(51 * 24)),
            account("tiktok-6890142245507", "summithall", "https://www.tiktok.com/@summithall", Gone(40)),
            account("youtube-UCq7Kp2ZxWm4Rb9sTn0HfLdA", "Summit Hall", "https://www.youtube.com/@summithall", Left(6 * 24 - 2)),
            account("facebook-221904417765120", "Summit Hall Climbing", "https://www.facebook.com/summithall", Left(58 * 24)),
            account("twitter-1483920775512", "summithall", "https://x.com/summithall", Endless),
        ],
        words: Words {
            lines: &[
                "New set in {what}: {extra} 💪",
                "{What} is open again. Expect {extra}.",
                "Route setters were busy in {what} overnight. The result: {extra}.",
                "Who has been to {what} yet? Waiting for you: {extra} 🧗",
                "Beginners, an easy evening in {what}: coach and shoes included. Everybody else: {extra}.",
                "Overheard at {what}: \"one more try\" (it was not one more try). Also: {extra}.",
                "Chalk up! This week {what} has {extra}.",
                "Youth team training moves to {what} tonight. Everybody else gets {extra}.",
            ],
            what: &["the cave", "the slab corner", "the lead wall", "the kids' area", "the training room", "the outdoor tower", "the comp wall", "the moon board"],
            extra: &["twelve new boulders from 4 to 7b", "a very slopey blue one", "two dynos that bite", "long easy routes for tired arms", "crimps, sorry", "fresh holds in the brightest pink we could find", "a technique circuit", "free coffee for whoever flashes the black one"],
            ends: &["", "", "See you on the wall!", "Opening hours: https://{site}/hours", "Tag your climbing partner 👇", "Doors open at 9.", "Book: https://{site}/courses"],
            tags: "#climbing #bouldering #routesetting #summithall",
            pictures: &["wall", "setters", "comp", "shoes"],
        },
    },
    Business {
        name: "Hartwell & Osei Solicitors", email: "office@hartwell-osei.example", site: "hartwell-osei.example",
        posts: 52, link_days: None,
        accounts: &[
            account("linkedin-urn_li_organization_90417725", "Hartwell & Osei", "https://www.linkedin.com/company/hartwell-osei", Left(71 * 24)),
            account("twitter-1297745081623", "HartwellOsei", "https://x.com/HartwellOsei", Endless),
            account("facebook-330127784419006", "Hartwell & Osei Solicitors", "https://www.facebook.com/hartwellosei", Left(61)),
        ],
        words: Words {
            lines: &[
                "A question we hear every week: {what}. The short answer: {extra}.",
                "New on our blog: {what}, and why {extra}.",
                "{What}: what changed this year, and what did not. In one line: {extra}.",
                "Small business owners, a reminder about {what}. Usually {extra}.",
                "Abena Osei spoke at the Chamber of Commerce about {what}. Her advice: {extra}.",
                "Five minutes on {what}. Most of the time {extra}; when it is not that simple, call us.",
                "Myth of the week on {what}: \"a handshake is enough\". In practice {extra}.",
            ],
            what: &["commercial leases", "probation periods", "lasting powers of attorney", "late payment of invoices", "boundary disputes", "writing a first will", "terms and conditions for online shops", "buying a share of a company"],
            extra: &["it pays to write things down", "the deadline is earlier than you think", "a short letter settles it", "both sides remember it differently", "the standard form does not fit", "mediation is cheaper than court", "the date on the envelope matters", "you have more time than you were told"],
            ends: &["", "Read more: https://{site}/notes", "This is general information, not legal advice.", "Our Thursday clinic is free: https://{site}/clinic", "Questions? office@{site}", ""],
            tags: "#law",
            pictures: &["office", "team", "clinic"],
        },
    },
    Business {
        name: "Lindqvist Keramik", email: "studio@lindqvist-keramik.example", site: "lindqvist-keramik.example",
        posts: 56, link_days: Some(90.0),
        accounts: &[
            account("instagram-17841447712093355", "lindqvist.keramik", "https://www.instagram.com/lindqvist.keramik", Left(26 * 24)),
            account("pinterest-549862301984", "lindqvistkeramik", "https://www.pinterest.com/lindqvistkeramik", Left(5 * 24 - 7)),
        ],
        words: Words {
            lines: &[
                "Off the wheel this morning: {what}, {extra}.",
                "{What}, {extra}. Which one would you keep?",
                "Six weeks from clay to table. Today: {what}, {extra} 🏺",
                "A shelf of {what} before the glaze. They will end up {extra}.",
                "Sometimes the kiln decides. These {what} came out {extra}.",
                "Märta taught the Sunday class to make {what}. All {extra}, all different 🤎",
                "Seconds sale: {what}, {extra}, half price, still lovely.",
            ],
            what: &["breakfast bowls", "salt pigs", "tall vases", "espresso cups", "fika plates", "butter dishes", "small planters", "tea bowls"],
            extra: &["glazed in ash white", "with a thumbprint on the side", "in a blue we cannot repeat", "unglazed outside, rough like bark", "slightly wonky on purpose", "with iron speckles", "the colour of wet sand", "in the green of Öland in May"],
            ends: &["", "", "In the shop from Friday 10:00 → https://{site}/shop", "Tack för att ni tittar förbi!", "Studio open Thu–Sat.", "Waiting list: https://{site}/list"],
            tags: "#keramik #stoneware #handmade #slowcraft",
            pictures: &["bowl", "kiln", "glaze", "studio"],
        },
    },
    Business {
        name: "Zaytoun Kitchen", email: "hello@zaytoun-kitchen.example", site: "zaytoun-kitchen.example",
        posts: 70, link_days: None,
        accounts: &[
            account("instagram-17841421190077412", "zaytounkitchen", "https://www.instagram.com/zaytounkitchen", Left(39 * 24)),
            account("facebook-118730025561904", "Zaytoun Kitchen", "https://www.facebook.com/zaytounkitchen", Left(42 * 24)),
            account("telegram--1001827340912", "Zaytoun Lunch", "https://t.me/zaytounlunch", Endless),
            account("tiktok-7011892335410", "zaytounkitchen", "https://www.tiktok.com/@zaytounkitchen", Left(18 * 24)),
        ],
        words: Words {
            lines: &[
                "Today's special: {what}, {extra} 🌿",
                "{What}. {Extra}. That is the whole post.",
                "Teta's recipe, our kitchen: {what}, {extra}.",
                "If you have never had {what}, come tonight: {extra}.",
                "Lunch break? {What}, {extra}, ready in ten minutes.",
                "We made too much {what} (we did not, there is no such thing). {Extra} 😋",
                "Weekend menu is up: {what} and friends, {extra}.",
                "Question for the comments: {what} or fries? Ours: {extra}.",
            ],
            what: &["mujaddara", "lamb kofta", "fattoush", "muhammara", "musakhan", "stuffed vine leaves", "knafeh", "falafel", "baba ghanoush"],
            extra: &["with pomegranate and plenty of mint", "straight from the charcoal", "served until it is gone", "with warm bread from the saj", "vegan as always", "extra garlic, no apologies", "best shared, but nobody checks", "with pickles made in-house"],
            ends: &["", "", "Tables: https://{site}/book", "Open 12–22, Mondays closed.", "Sahtein! 💚", "Order ahead: https://{site}/order", "صحتين"],
            tags: "#lebanesefood #mezze #zaytoun #foodie",
            pictures: &["mezze", "grill", "table", "knafeh"],
        },
    },
    Business {
        name: "Pedal & Co. Bike Repair", email: "hello@pedalandco.example", site: "pedalandco.example",
        posts: 62, link_days: Some(0.000_001),
        accounts: &[
            account("twitter-1390011874421", "pedalandco", "https://x.com/pedalandco", Endless),
            account("mastodon-110284417735902216", "@pedalandco@mastodon.example", "https://mastodon.example/@pedalandco", Endless),
            account("bluesky-did:plc:q6gjnaw2blty4crticxkmujt", "pedalandco.example", "https://bsky.app/profile/pedalandco.example", Endless),
            account("instagram-17841433008815670", "pedalandco", "https://www.instagram.com/pedalandco", Left(64 * 24)),
        ],
        words: Words {
            lines: &[
                "Workshop tip: {what}. {extra} 🔧",
                "On the stand today: {what}. {extra}.",
                "Winter is hard on bikes. We see {what} every day. {extra}.",
                "{What} again! {extra}, so bring it in before the weekend.",
                "Free check this Saturday for {what}. {extra}.",
                "You asked how we deal with {what}. Thread: {extra} 🧵",
                "Before and after: {what}. {extra} ✨",
            ],
            what: &["a chain worn past 1 %", "squealing disc brakes", "a bent derailleur hanger", "a cargo bike with a tired battery", "wheels out of true", "bottom brackets that creak", "cracked rim tape", "a 1978 Peugeot in original orange"],
            extra: &["It takes ten minutes and a cup of coffee", "Do not wait for the noise to get worse", "Oil is not a cleaning agent", "Parts are in stock", "Ask for Emre, he likes these", "Costs less than a tank of petrol", "You can do it at home, here is how", "Same day if you are here by nine"],
            ends: &["", "", "", "Book a slot: https://{site}/slots", "Ride safe!", "Canal Road 19, ring the bell 🔔", "Price list: https://{site}/prices"],
            tags: "#bikerepair #cycling #righttorepair",
            pictures: &["workshop", "wheel", "bike"],
        },
    },
    Business {
        name: "Little Fern Florist", email: "blumen@littlefern.example", site: "littlefern.example",
        posts: 48, link_days: None,
        accounts: &[
            account("instagram-17841455620914488", "littlefern.flowers", "https://www.instagram.com/littlefern.flowers", Left(29 * 24)),
            account("pinterest-610023448715", "littlefernflowers", "https://www.pinterest.com/littlefernflowers", Gone(6 * 24)),
            account("facebook-145590338817240", "Little Fern Florist", "https://www.facebook.com/littlefern", Left(102)),
        ],
        words: Words {
            lines: &[
                "In the window this week: {what}, {extra} 🌿",
                "{What} have arrived! {Extra}.",
                "Wedding Saturday: {what} everywhere, {extra} 💍",
                "A bunch of {what}, {extra}. Ready when you are.",
                "How to keep {what} for ten days: cut, fresh water, no fruit bowl. Ours are {extra}.",
                "Monday needs {what}. {Extra}, delivered by bike.",
                "Workshop recap: fourteen people, a mountain of {what}, {extra}.",
            ],
            what: &["peonies", "ranunculus", "garden roses", "eucalyptus", "sweet peas", "dried hydrangeas", "anemones", "tulips", "snowdrops in moss"],
            extra: &["grown twelve miles from here", "in every shade of apricot", "wrapped in newspaper, as it should be", "from £14", "smelling like my grandmother's garden", "no foam, no plastic", "while they last", "tied by hand"],
            ends: &["", "", "Order by noon for same-day delivery: https://{site}/today", "Love, Fern 🌸", "Open till 18:00", "More on https://{site}"],
            tags: "#florist #seasonalflowers #bouquet",
            pictures: &["bouquet", "window", "roses"],
        },
    },
    Business {
        name: "Harbour Street Dental", email: "reception@harbourstreet-dental.example", site: "harbourstreet-dental.example",
        posts: 0, link_days: Some(14.0),
        accounts: &[account("facebook-190023385571", "Harbour Street Dental", "https://www.facebook.com/harbourstreetdental", Left(59 * 24))],
        words: Words { lines: &[], what: &[], extra: &[], ends: &[], tags: "", pictures: &[] },
    },
];
