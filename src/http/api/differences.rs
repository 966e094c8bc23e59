//! The one list of how the tenant door differs from PostPost's own API. A test tries the contract row by row against both
//! and allows no other difference; the reference page shows the list.

/// One difference.
#[derive(Debug)]
pub struct Difference {
    /// For the test, which has to meet each.
    pub id: &'static str,
    pub postpost: &'static str,
    pub gateway: &'static str,
    pub why: &'static str,
}

const fn difference(
    id: &'static str,
    postpost: &'static str,
    gateway: &'static str,
    why: &'static str,
) -> Difference {
    Difference { id, postpost, gateway, why }
}

pub const DIFFERENCES: &[Difference] = &[
    difference(
        "own_errors",
        "Errors are {\"error\"}.",
        "Errors of the gateway's own have code and requestId as well. Text and status are PostPost's where it has them.",
        "A program can tell them apart.",
    ),
    difference(
        "malformed_id",
        "A malformed id in the address is answered 500, or 404.",
        "400 invalid_id.",
        "Nothing that is no id is sent on.",
    ),
    difference(
        "delete_policy",
        "A post that is publishing or live can be deleted.",
        "400 delete_blocked, unless the workspace is set to allow it.",
        "The post stays on the platform, without a record of it.",
    ),
    difference(
        "past_time",
        "A time that has passed, or scheduled without a time, becomes now: the post goes out at once.",
        "400 past_time, unless x-gatehouse-publish-now: 1 is sent.",
        "Nothing is published unasked.",
    ),
    difference(
        "strict_query",
        "Of a parameter that stands twice one counts.",
        "400 invalid_query. Parameters that are not documented are not passed on.",
        "What was checked is what is sent.",
    ),
    difference(
        "strict_body",
        "Bodies are read leniently: a name that stands twice, a type other than JSON.",
        "400 invalid_body or 415. Fields that are not documented are passed on.",
        "What was checked is what is sent.",
    ),
    difference(
        "unknown_route",
        "A method that a path does not have is answered 404.",
        "405 with Allow. Below /x-bookmarks up to two plain words are passed on.",
        "As HTTP has it.",
    ),
    difference(
        "scopes",
        "A key may do everything.",
        "403 scope_missing, address_denied, 423 frozen, 429 rate_limited.",
        "Keys that fit.",
    ),
    difference(
        "owner_id",
        "The id of the account's own owner in x-postpost-user-id is ignored.",
        "403, as any id that is no tenant's.",
        "PostPost skips its check for that id, and tells it nowhere.",
    ),
    difference(
        "doubt",
        "A 5xx, or no answer, says nothing about whether a change happened.",
        "504 outcome_unknown, or 502 where an answer could not be read, with an operationId to ask for.",
        "The gateway looks up what became of it, and does not send it twice.",
    ),
    difference(
        "upstream_key",
        "A workspace's key that is refused is answered 401.",
        "503 workspace_suspended: the caller's own key is fine.",
        "A 401 would make clients throw their key away.",
    ),
    difference(
        "user_exists",
        "A second user of a name is answered 409.",
        "201 with the user, if it is no tenant here yet or the call that made it was never answered to this key.",
        "Creating a user can be repeated after a crash.",
    ),
    difference(
        "user_name",
        "Any text makes a user.",
        "400 invalid_username if it is no e-mail address, invalid_display_name beyond 100 characters.",
        "What is sent is on record, and no record takes whatever is typed.",
    ),
    difference(
        "foreign_user",
        "A call about a user that is not the key's is answered 404.",
        "The same, and nothing is sent. A user made at PostPost directly is unknown until the next import.",
        "Only ids that PostPost has listed are sent.",
    ),
    difference(
        "user_key",
        "api-key makes a key of PostPost's for the user.",
        "It makes a gateway key with the scopes a tenant's key can have and the calling key has. It ends the one made so before.",
        "PostPost's keys go past the gateway.",
    ),
    difference(
        "idempotency",
        "An Idempotency-Key is ignored.",
        "The call is done once, and repeats are answered as the first time, without the secrets of the answer.",
        "Safe repeats; secrets are kept nowhere.",
    ),
    difference(
        "headers",
        "Answers have headers of their own.",
        "Of PostPost's headers only Retry-After is passed on.",
        "Cookies and redirects are not the client's.",
    ),
];
