//! The query parameters and body fields that the route table names, with what they mean.

/// A query parameter, or a field of a body, as the reference names it. What is wrong with a value is PostPost's to say,
/// where the gateway need not know.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub required: bool,
    pub about: &'static str,
    /// For the reference, as JSON; nothing: it is left out there.
    pub example: &'static str,
}

const fn field(name: &'static str, about: &'static str) -> Field {
    Field { name, required: false, about, example: "" }
}

const fn needed(name: &'static str, about: &'static str) -> Field {
    Field { name, required: true, about, example: "" }
}

impl Field {
    const fn like(self, example: &'static str) -> Self {
        Self { example, ..self }
    }
}

pub const LIST_QUERY: &[Field] = &[
    field("page", "Page, from 1. Default 1."),
    field("limit", "Posts of a page, 1 to 100. Default 20.").like(r#""5""#),
    field("status", "One of draft, scheduled, published, failed, partially_published.")
        .like(r#""scheduled""#),
    field("platform", "Name of a platform, such as bluesky. An unknown one finds nothing."),
    field("sortBy", "createdAt (default), updatedAt or scheduledTime."),
    field("sortOrder", "asc or desc (default)."),
    field("fromDate", "Scheduled at this time or later, ISO 8601. Posts without a time are left out."),
    field("toDate", "Scheduled at this time or earlier."),
];

pub const CREATE: &[Field] = &[
    needed("content", "The text.").like(r#""Our spring collection is here""#),
    needed(
        "platforms",
        "A list of connected accounts, such as [\"bluesky-did:plc:abc123\"]; also as a text.",
    )
    .like(r#"["bluesky-did:plc:abc123"]"#),
    field("scheduledTime", "When it goes out, ISO 8601 with a zone. Absent: a draft.")
        .like(r#""2031-03-15T14:00:00.000Z""#),
    field("platformSettings", "Settings of tiktok, instagram, youtube and threads; also as a text."),
];

pub const UPDATE: &[Field] = &[
    field("status", "draft pauses, scheduled resumes.").like(r#""scheduled""#),
    field(
        "scheduledTime",
        "The new time, ISO 8601 with a zone. PostPost may grant a later one; the answer has it.",
    )
    .like(r#""2031-03-16T09:00:00.000Z""#),
];

pub const LINKEDIN_POST: &[Field] = &[
    needed("postedId", "The post at LinkedIn, such as urn:li:share:7123456789012345678.")
        .like(r#""urn:li:share:7123456789012345678""#),
    needed("platformId", "The connected account, such as linkedin-Tz9W5i6ZYG.")
        .like(r#""linkedin-Tz9W5i6ZYG""#),
];
pub const LINKEDIN_REACTION: &[Field] = &[
    needed("postedId", "The post at LinkedIn, such as urn:li:share:7123456789012345678.")
        .like(r#""urn:li:share:7123456789012345678""#),
    needed("platformId", "The connected account, such as linkedin-Tz9W5i6ZYG.")
        .like(r#""linkedin-Tz9W5i6ZYG""#),
    field("reactionType", "LIKE, PRAISE, EMPATHY, INTEREST, APPRECIATION or ENTERTAINMENT; needed to react.")
        .like(r#""LIKE""#),
];
pub const LINKEDIN_COMMENT: &[Field] = &[
    needed("postedId", "The post at LinkedIn, such as urn:li:share:7123456789012345678.")
        .like(r#""urn:li:share:7123456789012345678""#),
    needed("platformId", "The connected account, such as linkedin-Tz9W5i6ZYG.")
        .like(r#""linkedin-Tz9W5i6ZYG""#),
    needed("message", "The comment's text.").like(r#""Thank you!""#),
];
pub const LINKEDIN_UNCOMMENT: &[Field] = &[
    needed("postedId", "The post at LinkedIn, such as urn:li:share:7123456789012345678.")
        .like(r#""urn:li:share:7123456789012345678""#),
    needed("platformId", "The connected account, such as linkedin-Tz9W5i6ZYG.")
        .like(r#""linkedin-Tz9W5i6ZYG""#),
    needed("commentId", "The comment to delete.")
        .like(r#""urn:li:comment:(urn:li:activity:7123456789012345678,6543210987654321)""#),
];
pub const LINKEDIN_ACCOUNT: &[Field] =
    &[needed("platformId", "The connected account, such as linkedin-Tz9W5i6ZYG.")
        .like(r#""linkedin-Tz9W5i6ZYG""#)];

pub const WEBHOOK: &[Field] = &[
    needed("name", "A name to know it by.").like(r#""Our CMS""#),
    needed("url", "Where deliveries are sent: HTTPS, and not a private address.")
        .like(r#""https://cms.example.com/hooks/posts""#),
    needed("events", "A list of post.scheduled, post.published, post.failed, token.expiring.")
        .like(r#"["post.published", "post.failed"]"#),
];
pub const WEBHOOK_CHANGE: &[Field] = &[
    field("name", "A new name.").like(r#""Our old CMS""#),
    field("url", "A new address."),
    field("events", "A new list of events."),
    field("isActive", "true or false.").like("true"),
];

pub const UPLOAD: &[Field] = &[
    needed("fileName", "The file's name.").like(r#""spring.png""#),
    needed("contentType", "Its media type, such as image/png.").like(r#""image/png""#),
    needed("postGroupId", "The post it belongs to.").like(r#""65f0a1b2c3d4e5f601020305""#),
    field("type", "image or video.").like(r#""image""#),
];

pub const USER: &[Field] = &[
    needed("username", "The user's e-mail address.").like(r#""social@example.com""#),
    field("displayName", "Default: the e-mail address.").like(r#""Example Ltd""#),
];
pub const LINK: &[Field] = &[
    field("expiresInDays", "Days until it ends. Default 90.").like("30"),
    field("rotate", "true ends the link there is; else one that has not ended is given again."),
];

pub const BOOKMARKS_QUERY: &[Field] = &[
    field("platformId", "The connected account, such as twitter-123."),
    field("page", "Page."),
    field("limit", "Entries of a page.").like(r#""10""#),
    field("cursor", "Where to go on."),
    field("paginationToken", "Where to go on."),
    field("folderId", "A folder."),
];
pub const BOOKMARK: &[Field] =
    &[field("postId", "The post at X; what is sent is passed on as it is.").like(r#""1790000000000000000""#)];
