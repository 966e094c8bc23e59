//! The query parameters and body fields that the route table names, with what they mean.

/// A query parameter, or a field of a body, as the reference names it. What is wrong with a value is PostPost's to say,
/// where the gateway need not know.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub required: bool,
    pub about: &'static str,
}

const fn field(name: &'static str, about: &'static str) -> Field {
    Field { name, required: false, about }
}

const fn needed(name: &'static str, about: &'static str) -> Field {
    Field { name, required: true, about }
}

pub const LIST_QUERY: &[Field] = &[
    field("page", "Page, from 1. Default 1."),
    field("limit", "Posts of a page, 1 to 100. Default 20."),
    field("status", "One of draft, scheduled, published, failed, partially_published."),
    field("platform", "Name of a platform, such as bluesky. An unknown one finds nothing."),
    field("sortBy", "createdAt (default), updatedAt or scheduledTime."),
    field("sortOrder", "asc or desc (default)."),
    field("fromDate", "Scheduled at this time or later, ISO 8601. Posts without a time are left out."),
    field("toDate", "Scheduled at this time or earlier."),
];

pub const CREATE: &[Field] = &[
    needed("content", "The text."),
    needed(
        "platforms",
        "A list of connected accounts, such as [\"bluesky-did:plc:abc123\"]; also as a text.",
    ),
    field("scheduledTime", "When it goes out, ISO 8601 with a zone. Absent: a draft."),
    field("platformSettings", "Settings of tiktok, instagram, youtube and threads; also as a text."),
];

pub const UPDATE: &[Field] = &[
    field("status", "draft pauses, scheduled resumes."),
    field(
        "scheduledTime",
        "The new time, ISO 8601 with a zone. PostPost may grant a later one; the answer has it.",
    ),
];

pub const LINKEDIN_POST: &[Field] = &[
    needed("postedId", "The post at LinkedIn, such as urn:li:share:7123456789012345678."),
    needed("platformId", "The connected account, such as linkedin-Tz9W5i6ZYG."),
];
pub const LINKEDIN_REACTION: &[Field] = &[
    needed("postedId", "The post at LinkedIn, such as urn:li:share:7123456789012345678."),
    needed("platformId", "The connected account, such as linkedin-Tz9W5i6ZYG."),
    field("reactionType", "LIKE, PRAISE, EMPATHY, INTEREST, APPRECIATION or ENTERTAINMENT; needed to react."),
];
pub const LINKEDIN_COMMENT: &[Field] = &[
    needed("postedId", "The post at LinkedIn, such as urn:li:share:7123456789012345678."),
    needed("platformId", "The connected account, such as linkedin-Tz9W5i6ZYG."),
    field("message", "The comment's text; needed to comment."),
    field("commentId", "The comment to delete."),
];
pub const LINKEDIN_ACCOUNT: &[Field] =
    &[needed("platformId", "The connected account, such as linkedin-Tz9W5i6ZYG.")];

pub const WEBHOOK: &[Field] = &[
    needed("name", "A name to know it by."),
    needed("url", "Where deliveries are sent: HTTPS, and not a private address."),
    needed("events", "A list of post.scheduled, post.published, post.failed, token.expiring."),
];
pub const WEBHOOK_CHANGE: &[Field] = &[
    field("name", "A new name."),
    field("url", "A new address."),
    field("events", "A new list of events."),
    field("isActive", "true or false."),
];

pub const UPLOAD: &[Field] = &[
    needed("fileName", "The file's name."),
    needed("contentType", "Its media type, such as image/png."),
    needed("postGroupId", "The post it belongs to."),
    field("type", "image or video."),
];

pub const USER: &[Field] =
    &[needed("username", "The user's e-mail address."), field("displayName", "Default: the e-mail address.")];
pub const LINK: &[Field] = &[
    field("expiresInDays", "Days until it ends. Default 90."),
    field("rotate", "true ends the link there is; else one that has not ended is given again."),
];

pub const BOOKMARKS_QUERY: &[Field] = &[
    field("platformId", "The connected account, such as twitter-123."),
    field("page", "Page."),
    field("limit", "Entries of a page."),
    field("cursor", "Where to go on."),
    field("paginationToken", "Where to go on."),
    field("folderId", "A folder."),
];
