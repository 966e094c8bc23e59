//! Every action that an audit entry can stand for, once. What each means, and who writes it, is in `docs/audit-actions.md`,
//! which a test holds to this list; the audit page's choices are made from it.

use crate::domain::{operations::Verb, words};

words! {
    /// What an entry says was done, or attempted: `noun.verb`.
    Action {
        PostCreate = "post.create",
        PostUpdate = "post.update",
        PostDelete = "post.delete",
        MediaUploadUrl = "media.upload_url",
        PlanCreate = "plan.create",
        PlanUpdate = "plan.update",
        JobCreate = "job.create",
        JobPause = "job.pause",
        JobResume = "job.resume",
        JobCancel = "job.cancel",
        JobEnd = "job.end",
        TenantCreate = "tenant.create",
        TenantImport = "tenant.import",
        TenantReattach = "tenant.reattach",
        TenantDetach = "tenant.detach",
        TenantLink = "tenant.link",
        TenantFreeze = "tenant.freeze",
        TenantUnfreeze = "tenant.unfreeze",
        KeyCreate = "key.create",
        KeyUpdate = "key.update",
        KeyRotate = "key.rotate",
        KeyActivate = "key.activate",
        KeyRetire = "key.retire",
        KeyLapse = "key.lapse",
        KeyCancelRotation = "key.cancel_rotation",
        KeyRevoke = "key.revoke",
        WebhookCreate = "webhook.create",
        WebhookUpdate = "webhook.update",
        WebhookDelete = "webhook.delete",
        WebhookRotateSecret = "webhook.rotate_secret",
        LinkedinReact = "linkedin.react",
        LinkedinUnreact = "linkedin.unreact",
        LinkedinComment = "linkedin.comment",
        LinkedinUncomment = "linkedin.uncomment",
        BookmarkChange = "bookmark.change",
        WorkspaceCreate = "workspace.create",
        WorkspaceReplaceKey = "workspace.replace_key",
        WorkspaceSetDeletePolicy = "workspace.set_delete_policy",
        WorkspaceImport = "workspace.import",
        WorkspaceFreeze = "workspace.freeze",
        WorkspaceUnfreeze = "workspace.unfreeze",
        WorkspaceSuspend = "workspace.suspend",
        AccessRefuse = "access.refuse",
        AuthRefuse = "auth.refuse",
        AdminInvite = "admin.invite",
        AdminCreate = "admin.create",
        AdminLogin = "admin.login",
        AdminLogout = "admin.logout",
        AdminProve = "admin.prove",
        AdminSetPassword = "admin.set_password",
        AdminEndSession = "admin.end_session",
        AuditExport = "audit.export",
        AuditDownload = "audit.download",
        AuditLink = "audit.link",
        AuditRead = "audit.read",
        AuditErase = "audit.erase",
        AuditStart = "audit.start",
        AuditHeartbeat = "audit.heartbeat",
        AuditRestore = "audit.restore",
    }
}

impl Action {
    /// What it is done to: the word before the dot.
    pub fn noun(self) -> &'static str {
        self.as_str().split('.').next().unwrap_or_default()
    }
}

impl From<Verb> for Action {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::PostCreate => Self::PostCreate,
            Verb::PostDelete => Self::PostDelete,
            Verb::PostUpdate => Self::PostUpdate,
            Verb::TenantCreate => Self::TenantCreate,
            Verb::TenantDetach => Self::TenantDetach,
            Verb::TenantLink => Self::TenantLink,
            Verb::MediaUploadUrl => Self::MediaUploadUrl,
            Verb::WebhookCreate => Self::WebhookCreate,
            Verb::WebhookUpdate => Self::WebhookUpdate,
            Verb::WebhookDelete => Self::WebhookDelete,
            Verb::WebhookRotate => Self::WebhookRotateSecret,
            Verb::LinkedinReact => Self::LinkedinReact,
            Verb::LinkedinUnreact => Self::LinkedinUnreact,
            Verb::LinkedinComment => Self::LinkedinComment,
            Verb::LinkedinUncomment => Self::LinkedinUncomment,
            Verb::BookmarkChange => Self::BookmarkChange,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_upstream_is_audited_under_its_own_word() {
        for verb in Verb::ALL {
            assert_eq!(Action::from(*verb).as_str(), verb.as_str());
        }
    }

    #[test]
    fn every_word_is_a_noun_and_a_verb() {
        for action in Action::ALL {
            let parts: Vec<&str> = action.as_str().split('.').collect();
            assert!(matches!(parts[..], [noun, verb] if !noun.is_empty() && !verb.is_empty()), "{action}");
        }
    }
}
