//! Posts written by hand: the ones a list must survive (long, right to left, next to nothing), and those in the
//! scheduler's hands.

/// What a post is to become.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A draft that keeps its time.
    Draft,
    /// A draft without a time.
    Undated,
    /// Planned.
    Scheduled,
    /// Planned, and handed to the platforms ahead of its time.
    Pending,
    /// Planned, and its media being taken in by the platforms.
    Processing,
    /// Gone out everywhere.
    Published,
    /// Gone out nowhere.
    Failed,
    /// Gone out here and there.
    Partial,
}

impl Shape {
    /// The status of the group.
    pub(super) fn status(self) -> &'static str {
        match self {
            Shape::Draft | Shape::Undated => "draft",
            Shape::Scheduled | Shape::Pending | Shape::Processing => "scheduled",
            Shape::Published => "published",
            Shape::Failed => "failed",
            Shape::Partial => "partially_published",
        }
    }

    /// The status on the account at this place of the post, before the post is due.
    pub(super) fn platform_status(self, place: usize) -> &'static str {
        match (self, place) {
            (Shape::Processing, 0) => "processing",
            (Shape::Pending | Shape::Processing, _) => "pending",
            _ => self.status(),
        }
    }
}

/// A post written by hand.
pub(super) struct Special {
    /// Whose, by user name.
    email: &'static str,
    /// Where.
    pub(super) platforms: &'static [&'static str],
    /// When, in minutes from now.
    pub(super) minutes: i64,
    pub(super) shape: Shape,
    pub(super) text: &'static str,
}

/// The posts written by hand for one business.
pub(super) fn of(email: &str) -> impl Iterator<Item = &'static Special> {
    SPECIALS.iter().filter(move |special| special.email == email)
}

const LONG: &str = "\
Eleven years ago our first client walked in with a shoebox.

In it: a lease, four letters from a landlord, two from the council, and a till roll on which she had written down every conversation she had had since March. She ran a small café and was about to lose it. She apologised for the till roll. It won the case.

I have thought about that shoebox a lot this month, because three businesses in our town have asked us the same question: when should we have called you? Here is the honest answer, and it is not \"always\".

1. Before you sign anything that renews itself. A break clause costs nothing on the day you ask for it and a great deal on the day you need it.

2. When somebody writes \"without prejudice\" on a letter to you. It means that they have already spoken to a solicitor.

3. When you are about to dismiss someone and you are angry. Wait until tomorrow. If you are still sure, call us; if you are not, you have saved a fee and probably a good colleague.

4. When a partner becomes a former partner. Friendships end more gently with two pages of agreement than with none.

And when not? When a customer is rude. When a competitor copies your window. When a supplier is two days late for the first time. A cup of tea and a polite letter of your own will do more than we can.

What you can do today costs nothing: keep a note of what was said, by whom, on what date. No software is needed. A till roll is fine.

The café is still there, by the way. The flat white is excellent and the till roll hangs framed behind the counter, next to the hygiene certificate.

If you run a small business in the county and are not sure whether yours is a shoebox question, our Thursday clinic is free, needs no appointment and comes with biscuits. Half past four to six, 12 Castle Street, first floor, the door with the brass fox.

Abena Osei, partner";

#[rustfmt::skip]
const SPECIALS: &[Special] = &[
    Special { email: "office@hartwell-osei.example", platforms: &["linkedin"], minutes: -3 * 1440 - 95, shape: Shape::Published, text: LONG },
    Special { email: "hello@zaytoun-kitchen.example", platforms: &["instagram", "facebook"], minutes: 1440 + 310, shape: Shape::Scheduled,
        text: "أهلاً وسهلاً بكم في مطبخ زيتون 🌿 هذا الأسبوع نقدّم ورق العنب على طريقة جدّتي، مع اللبن والنعناع الطازج. الحجز على الرقم 020 7946 0321 أو عبر الرابط https://zaytoun-kitchen.example/حجز" },
    Special { email: "hallo@baeckerei-morgenrot.example", platforms: &["instagram"], minutes: -2 * 1440 - 41, shape: Shape::Published, text: "🥐" },
    Special { email: "hello@pedalandco.example", platforms: &["mastodon"], minutes: 2 * 1440 + 77, shape: Shape::Undated, text: "." },
    Special { email: "team@summithall.example", platforms: &["youtube", "tiktok", "instagram"], minutes: 19, shape: Shape::Processing,
        text: "Full send Friday: all nine finals boulders in four minutes, falls included 🎬" },
    Special { email: "press@fjordlight-hotels.example", platforms: &["linkedin", "instagram"], minutes: 34, shape: Shape::Pending,
        text: "The boat sauna is back in the water. First slots from Saturday → https://fjordlight-hotels.example/sauna" },
    Special { email: "hello@novabyte-robotics.example", platforms: &["youtube", "linkedin"], minutes: 95, shape: Shape::Processing,
        text: "Watch our arm sort 1,200 screws an hour, filmed in one take and not sped up." },
    Special { email: "hello@zaytoun-kitchen.example", platforms: &["telegram", "facebook"], minutes: 52, shape: Shape::Pending,
        text: "Lunch box of the day: mujaddara, fattoush, pickled turnip. Forty of them, then we are out." },
    // The last day: what somebody opening the gateway now would have to look at.
    Special { email: "blumen@littlefern.example", platforms: &["instagram", "facebook"], minutes: -140, shape: Shape::Failed,
        text: "Last-minute bouquets for tonight: we are open until 20:00, tulips are two for one 🌷" },
    Special { email: "hello@pedalandco.example", platforms: &["mastodon", "bluesky"], minutes: -400, shape: Shape::Partial,
        text: "Flat tyre on the way to work? We fix it while you have your coffee. From 7 today, no appointment." },
    Special { email: "hallo@baeckerei-morgenrot.example", platforms: &["instagram", "facebook"], minutes: -1100, shape: Shape::Draft,
        text: "Muttertags-Vorbestellung: Erdbeertörtchen und Herzbrezeln bitte bis Freitag, 18 Uhr 🍓 (noch mit Jörg abklären!)" },
    Special { email: "hallo@baeckerei-morgenrot.example", platforms: &["facebook"], minutes: -2600, shape: Shape::Draft,
        text: "Achtung: Morgen öffnen wir wegen des Straßenfests erst um 8 Uhr." },
    Special { email: "team@summithall.example", platforms: &["instagram", "facebook"], minutes: 205, shape: Shape::Scheduled,
        text: "Tonight 19:30: belay refresher, free for members. Bring your own device if you have one 🧗" },
    Special { email: "studio@lindqvist-keramik.example", platforms: &["instagram", "pinterest"], minutes: 465, shape: Shape::Scheduled,
        text: "Kiln opening tonight. 31 bowls, one dragon, fingers crossed 🤞" },
    Special { email: "office@hartwell-osei.example", platforms: &["linkedin", "facebook"], minutes: 1010, shape: Shape::Scheduled,
        text: "Reminder: the free Thursday clinic takes place in the library this week, not at Castle Street." },
    Special { email: "om@kiyomi-yoga.example", platforms: &["instagram"], minutes: -320, shape: Shape::Failed,
        text: "Vollmond-Yoga heute Abend im Park, Matten sind da, Mückenspray bitte selbst mitbringen 🌕" },
];
