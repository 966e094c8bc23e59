//! The tenants of the SaaS: four customers of its staging environment, with more accounts gone stale.

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
        name: "Fjordlight Hotels", email: "press@fjordlight-hotels.example", site: "fjordlight-hotels.example",
        posts: 68, link_days: Some(60.0),
        accounts: &[
            account("linkedin-urn_li_organization_71120448", "Fjordlight Hotels", "https://www.linkedin.com/company/fjordlight", Left(55 * 24)),
            account("instagram-17841460193377015", "fjordlight", "https://www.instagram.com/fjordlight", Left(44 * 24)),
            account("facebook-167720098413355", "Fjordlight Hotels", "https://www.facebook.com/fjordlighthotels", Left(44 * 24)),
            account("twitter-1560027719384", "fjordlight", "https://x.com/fjordlight", Endless),
            account("youtube-UC0aVd8RrQm1LxKe5NwPz3Tg", "Fjordlight Hotels", "https://www.youtube.com/@fjordlight", Gone(3 * 24)),
        ],
        words: Words {
            lines: &[
                "{What}, {extra}. Rooms from Thursday.",
                "Wake up to {what}, {extra} 🏔️",
                "Our guests in Ålesund keep asking about {what}. Yes: {extra}.",
                "Three nights, {what}, {extra}. That is the offer.",
                "Behind the scenes: Øystein looks after {what}, {extra}.",
                "Made for this weather: {what}, {extra} ❄️",
                "New this month: {what}, {extra}. Say hei at the front desk.",
            ],
            what: &["the boat sauna", "the northern lights deck", "the breakfast room over the water", "cross-country trails from the door", "midnight kayaking", "the library with the green stove", "the cabins on Hjørundfjorden", "cloudberry waffles"],
            extra: &["open from six in the morning", "included with every stay", "quieter on weekdays", "best with a thermos of coffee", "booked out until the 12th", "dogs welcome", "ten steps from the lift", "even when it rains, and it will"],
            ends: &["", "", "Book direct: https://{site}/book", "Velkommen!", "Photo: Ingrid Sæther", "Season calendar → https://{site}/season"],
            tags: "#norway #fjord #slowtravel",
            pictures: &["fjord", "sauna", "cabin", "breakfast"],
        },
    },
    Business {
        name: "Kiyomi Yoga", email: "om@kiyomi-yoga.example", site: "kiyomi-yoga.example",
        posts: 54, link_days: None,
        accounts: &[
            account("instagram-17841438850210967", "kiyomi.yoga", "https://www.instagram.com/kiyomi.yoga", Left(12 * 24)),
            account("threads-26311440871209965", "kiyomi.yoga", "https://www.threads.net/@kiyomi.yoga", Left(129)),
            account("telegram--1001633920175", "Kiyomi Stundenplan", "https://t.me/kiyomiyoga", Endless),
        ],
        words: Words {
            lines: &[
                "{What} diese Woche: {extra} 🧘",
                "Noch drei Plätze für {what}. {extra}.",
                "Für alle, die viel sitzen: {what}. {extra}.",
                "Neu im Stundenplan: {what}. {extra} ✨",
                "{What} klingt schwierig? {extra}.",
                "Sonntag, 10 Uhr, {what}, danach Tee. {extra}.",
                "Diese Woche mit Aya: {what}. {extra}.",
            ],
            what: &["Yin für Anfänger", "Vinyasa ohne Eile", "Atemübungen", "Schwangerschaftsyoga", "Rückenyoga", "Handstand-Workshop", "Frühstunde um 6:45", "Yoga nidra"],
            extra: &["Bequeme Hose genügt", "Matten sind da", "Die erste Stunde ist frei", "Bitte kurz anmelden", "Auch online", "Danach schläft man wie ein Bär", "Mit Blick in den Garten", "Ohne Räucherstäbchen, versprochen"],
            ends: &["", "", "Anmelden: https://{site}/plan", "Namasté 🙏", "Wir freuen uns auf euch!", "深呼吸。"],
            tags: "#yoga #atmen #rückenyoga",
            pictures: &["studio", "mats", "tea"],
        },
    },
    Business {
        name: "Novabyte Robotics", email: "hello@novabyte-robotics.example", site: "novabyte-robotics.example",
        posts: 58, link_days: None,
        accounts: &[
            account("linkedin-urn_li_organization_83300917", "Novabyte Robotics", "https://www.linkedin.com/company/novabyte", Left(77)),
            account("youtube-UCb3TnYw7HsPq2JvXc6LmE9A", "Novabyte", "https://www.youtube.com/@novabyte", Left(82 * 24)),
            account("bluesky-did:plc:z72i7hdynmk6r22z27h6tvur", "novabyte-robotics.example", "https://bsky.app/profile/novabyte-robotics.example", Endless),
            account("twitter-1611209934470", "novabyte", "https://x.com/novabyte", Endless),
        ],
        words: Words {
            lines: &[
                "Release notes: {what}, {extra}.",
                "We spent a quarter on {what}. What we learned: {extra}.",
                "{What} at Hannover Messe, hall 9, stand C14. Come and see that {extra}.",
                "Hiring: two engineers for {what}. You should know that {extra}.",
                "Customer story: a family-owned factory in Brno runs {what} in two shifts. Why they stay with us: {extra}.",
                "A short video on {what}. Spoiler: {extra} 🤖",
                "Webinar on Wednesday: {what}. Bring questions; {extra}.",
                "{What} is now in public beta, {extra}.",
            ],
            what: &["force-controlled grippers", "the new safety controller", "bin picking without training data", "our open calibration format", "firmware 4.2", "the paint-line arm", "remote diagnostics", "quiet servo drives"],
            extra: &["boring is a feature", "cycle time is down by 11 %", "the manual is shorter than before", "no cloud account is needed", "the emergency stop is still a red button", "we publish the failures too", "it fits through a normal door", "the old API keeps working until 2031"],
            ends: &["", "Details: https://{site}/blog", "", "Docs → https://docs.{site}", "Questions? Reply here.", "🎥 https://{site}/video"],
            tags: "#robotics",
            pictures: &["arm", "gripper", "factory"],
        },
    },
    Business {
        name: "Open Garden Festival", email: "info@opengarden-festival.example", site: "opengarden-festival.example",
        posts: 42, link_days: None,
        accounts: &[
            account("facebook-156610927734418", "Open Garden Festival", "https://www.facebook.com/opengardenfestival", Gone(14 * 24)),
            account("mastodon-111902847710034458", "@opengarden@mastodon.example", "https://mastodon.example/@opengarden", Endless),
        ],
        words: Words {
            lines: &[
                "Line-up news: {what} on Saturday, {extra} 🎶",
                "{What}! Finally! {Extra}.",
                "Volunteers wanted for {what}: {extra}.",
                "Last year {what} was gone by noon. This year: {extra}.",
                "Map update: {what} moves next to the old oak, {extra}.",
                "Families, note {what}: {extra} 🐝",
                "Rain plan for {what}: {extra} ☔",
            ],
            what: &["the seed swap", "the brass band parade", "the compost disco", "lantern building", "the midnight beekeeping talk", "the plant market", "the silent choir", "the children's orchard"],
            extra: &["free with a day ticket", "bring a chair", "two sessions, 14:00 and 17:00", "come early", "under the big tent", "no dogs this time, sorry", "cups are returnable", "sign up at the gate"],
            ends: &["", "", "Tickets: https://{site}/tickets", "Programme → https://{site}/programme", "See you in the garden!", "Please share 💚"],
            tags: "#opengarden",
            pictures: &["garden", "stage", "lanterns"],
        },
    },
];
