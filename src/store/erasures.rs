//! Erasing personal data: the record of each erasure, and what it takes from the audit log. Every step can be taken again
//! without harm, so that one cut short by a crash is simply gone through anew. What it takes from the other tables is in
//! `erased_places`, what is left in the database's files in `rewriting`.

use super::{Db, Error, Result, Tx, erased_places::in_address, like_anywhere};
use crate::{
    clock::Millis,
    domain::{
        audit::{Action, Actor, Draft, Outcome},
        erasures::{Erasure, ErasureState, Subject},
    },
};
use std::collections::BTreeMap;

/// Entries looked through with one statement, and details erased in one transaction: others want to write too.
const WINDOW: i64 = 20_000;
const AT_ONCE: usize = 500;
/// What a person's entries lose: what was done stays.
const OF_ACTOR: [&str; 2] = ["names", "context"];

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    subject: String,
    workspace_id: Option<String>,
    subject_id: String,
    state: String,
    asked_at: i64,
    ended_at: Option<i64>,
    details: i64,
}

const ERASURE: &str = "SELECT e.id, e.subject, e.workspace_id, e.subject_id, e.state, e.asked_at, e.ended_at, \
    (SELECT COUNT(*) FROM erased_details d WHERE d.erasure_id = e.id) AS details FROM erasures e WHERE ";

/// Why an erasure does not begin.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Begun(String),
    /// One of the same subject is under way.
    UnderWay(String),
    /// There is no such tenant or person.
    Unknown,
    /// The tenant is still attached: its data would come back from PostPost.
    Attached,
    /// Calls of the subject have no end yet, or jobs with its posts or under its name go on.
    Busy,
    /// Nobody else could add workspaces and read the whole log.
    LastOwner,
}

impl Db {
    /// Begins an erasure, with its entry. From here on it is completed, whatever happens. A person cannot log in any more.
    pub async fn begin_erasure(
        &self,
        actor: &Actor,
        id: &str,
        subject: &Subject,
        reason: &str,
        now: Millis,
    ) -> Result<Asked> {
        let mut tx = self.begin().await?;
        let under_way: Option<(String,)> = tx
            .sql("SELECT id FROM erasures WHERE state <> 'done' AND subject = $1 AND subject_id = $2")
            .bind(subject.kind())
            .bind(subject.id())
            .push(" AND COALESCE(workspace_id, '') = ")
            .arg(subject.workspace().unwrap_or_default())
            .opt()
            .await?;
        if let Some((id,)) = under_way {
            return Ok(Asked::UnderWay(id));
        }
        let refused = match subject {
            Subject::Tenant { workspace, id } => tx.tenant_is_held(workspace, id).await?,
            Subject::Person { id } => tx.person_is_held(id).await?,
        };
        if let Some(refused) = refused {
            return Ok(refused);
        }
        tx.sql(
            "INSERT INTO erasures (id, subject, workspace_id, subject_id, state, asked_at)
             VALUES ($1, $2, $3, $4, 'erasing', $5)",
        )
        .bind(id)
        .bind(subject.kind())
        .bind(subject.workspace())
        .bind(subject.id())
        .bind(now)
        .run()
        .await?;
        if let Subject::Person { id } = subject {
            tx.lock_out(id, now).await?;
        }
        let entry = about(actor, id, subject, Outcome::Intent).reason(reason);
        tx.append(now, &[&entry]).await?;
        tx.commit().await?;
        Ok(Asked::Begun(id.to_owned()))
    }

    pub async fn erasure(&self, id: &str) -> Result<Option<Erasure>> {
        let row: Option<Row> = self.read(ERASURE).push("e.id = ").arg(id).opt().await?;
        row.map(TryInto::try_into).transpose()
    }

    /// The last erasure of a tenant or person.
    pub async fn erasure_of(&self, subject: &Subject) -> Result<Option<Erasure>> {
        let row: Option<Row> = self
            .read(ERASURE)
            .push("e.subject = ")
            .arg(subject.kind())
            .and("e.subject_id =", Some(subject.id()))
            .push(" AND COALESCE(e.workspace_id, '') = ")
            .arg(subject.workspace().unwrap_or_default())
            .push(" ORDER BY e.asked_at DESC, e.id DESC LIMIT 1")
            .opt()
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Those that are not done, the oldest first.
    pub async fn unfinished_erasures(&self) -> Result<Vec<Erasure>> {
        let rows: Vec<Row> =
            self.read(ERASURE).push("e.state <> 'done' ORDER BY e.asked_at, e.id").all().await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// When each erased part of an entry was erased.
    pub async fn erased_parts(&self, seq: i64) -> Result<Vec<(String, Millis)>> {
        self.read(
            "SELECT d.part, e.asked_at FROM erased_details d JOIN erasures e ON e.id = d.erasure_id
             WHERE d.seq = $1 ORDER BY d.part",
        )
        .bind(seq)
        .all()
        .await
    }

    /// Takes the subject's personal data out of the details of the audit log; what is committed to in the hashed bytes stays
    /// committed to.
    pub async fn erase_details(&self, erasure: &Erasure) -> Result<()> {
        let names = self.names_of(&erasure.subject).await?;
        let size = self.audit_head().await?.size;
        let mut from = 0;
        while from < size {
            let window = from..from + WINDOW;
            let mut found: BTreeMap<Vec<String>, Vec<i64>> = BTreeMap::new();
            for (seq, parts) in self.details_about(&erasure.subject, &names, window.clone()).await? {
                found.entry(parts).or_default().push(seq);
            }
            for (parts, seqs) in &found {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                for seqs in seqs.chunks(AT_ONCE) {
                    let mut tx = self.begin().await?;
                    tx.note_erased(&erasure.id, seqs, &parts).await?;
                    tx.erase_audit_details(seqs, &parts).await?;
                    tx.commit().await?;
                }
            }
            from = window.end;
        }
        Ok(())
    }

    /// The entries of a stretch of the log that hold something of the subject's, with the parts that do.
    async fn details_about(
        &self,
        subject: &Subject,
        names: &[String],
        window: std::ops::Range<i64>,
    ) -> Result<Vec<(i64, Vec<String>)>> {
        let mut parts: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        let mut sql = self
            .read("SELECT d.seq, d.part FROM audit_entries e JOIN audit_details d ON d.seq = e.seq WHERE e.seq >= ")
            .arg(window.start)
            .and("e.seq <", Some(window.end));
        sql = match subject {
            Subject::Tenant { workspace, id } => {
                let (w, t) = (workspace.as_str(), id.as_str());
                // That it was erased, by whom and why has to stay.
                sql = sql
                    .push(" AND e.action <> 'audit.erase' AND (e.workspace_id = ")
                    .arg(w)
                    .push(" AND (e.tenant_id = ")
                    .arg(t);
                sql = sql.push(" OR e.target_id = ").arg(t);
                sql = sql.push(" OR e.actor_id IN (SELECT id FROM keys WHERE workspace_id = ").arg(w);
                sql = sql.push(" AND tenant_id = ").arg(t);
                sql = sql.push(") OR e.op_id IN (SELECT id FROM operations WHERE workspace_id = ").arg(w);
                sql = sql.push(" AND (tenant_id = ").arg(t).push(" OR target = ").arg(t);
                sql = sql.push(")) OR d.part = 'reason' AND e.job_id IN (SELECT job_id FROM job_items WHERE workspace_id = ");
                sql.arg(w).push(" AND tenant_id = ").arg(t).push("))")
            }
            Subject::Person { id } => {
                sql = sql.push(" AND (e.actor_type = 'admin' AND e.actor_id = ").arg(id.as_str());
                sql.push(" AND d.part IN ").list(OF_ACTOR)
            }
        };
        for name in names {
            let Patterns { whole, anywhere } = Patterns::of(name);
            sql = sql.push(" OR (");
            sql = match subject.workspace() {
                Some(workspace) => {
                    sql.push("(e.workspace_id = ").arg(workspace).push(" OR e.workspace_id IS NULL) AND ")
                }
                None => sql,
            };
            sql = sql.push("(LOWER(d.body) LIKE LOWER(").arg(whole).push(r") ESCAPE '\'");
            // What somebody searched for, and took away in a file.
            for pattern in anywhere {
                sql = sql
                    .push(" OR e.action LIKE 'audit.%' AND d.part = 'change' AND LOWER(d.body) LIKE LOWER(");
                sql = sql.arg(pattern).push(r") ESCAPE '\'");
            }
            sql = sql.push("))");
        }
        let rows: Vec<(i64, String)> = sql.push(") ORDER BY d.seq, d.part").all().await?;
        for (seq, part) in rows {
            parts.entry(seq).or_default().push(part);
        }
        Ok(parts.into_iter().collect())
    }

    /// Takes the subject's personal data out of every other table; last of all its own row.
    pub async fn erase_rows(&self, erasure: &Erasure, now: Millis) -> Result<()> {
        let embedded = self.is_embedded();
        let mut tx = self.begin().await?;
        match &erasure.subject {
            Subject::Tenant { workspace, id } => tx.erase_tenant(workspace, id, embedded).await?,
            Subject::Person { id } => tx.erase_person(id, embedded).await?,
        }
        tx.touch_access().await?;
        tx.sql("UPDATE erasures SET state = 'rewriting', erased_at = $2 WHERE id = $1 AND state = 'erasing'")
            .bind(&erasure.id)
            .bind(now)
            .run()
            .await?;
        tx.commit().await
    }

    /// The files have been written anew.
    pub async fn note_rewritten(&self, id: &str) -> Result<()> {
        self.write("UPDATE erasures SET state = 'emptying' WHERE id = $1 AND state = 'rewriting'")
            .bind(id)
            .run()
            .await
            .map(drop)
    }

    /// The end of an erasure, with its entry. `false` if somebody else has written it down.
    pub async fn end_erasure(&self, erasure: &Erasure, now: Millis) -> Result<bool> {
        let mut tx = self.begin().await?;
        let ended = tx
            .sql("UPDATE erasures SET state = 'done', ended_at = $2 WHERE id = $1 AND state = 'emptying'")
            .bind(&erasure.id)
            .bind(now)
            .run()
            .await?;
        if ended == 0 {
            return Ok(false);
        }
        let details: i64 = tx
            .sql("SELECT COUNT(*) FROM erased_details WHERE erasure_id = $1")
            .bind(&erasure.id)
            .value()
            .await?;
        let entry = about(&Actor::system("erasure"), &erasure.id, &erasure.subject, Outcome::Succeeded);
        tx.append(now, &[&entry.set("details", details)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What the subject is called, for finding it in texts.
    async fn names_of(&self, subject: &Subject) -> Result<Vec<String>> {
        let names: Option<(String, String)> = match subject {
            Subject::Tenant { workspace, id } => {
                self.read("SELECT username, display_name FROM tenants WHERE workspace_id = $1 AND id = $2")
                    .bind(workspace)
                    .bind(id)
                    .opt()
                    .await?
            }
            Subject::Person { id } => {
                self.read("SELECT email, name FROM admins WHERE id = $1").bind(id).opt().await?
            }
        };
        let names = names.into_iter().flat_map(|(first, second)| [first, second]);
        Ok(names.filter(|name| !name.trim().is_empty()).collect())
    }
}

impl Tx {
    /// Keeps on record which details an erasure takes.
    async fn note_erased(&mut self, erasure_id: &str, seqs: &[i64], parts: &[&str]) -> Result<()> {
        self.sql("INSERT INTO erased_details (seq, part, erasure_id) SELECT seq, part, ")
            .arg(erasure_id)
            .push(" FROM audit_details WHERE seq IN ")
            .list(seqs.iter().copied())
            .push(" AND part IN ")
            .list(parts.iter().copied())
            .push(" ON CONFLICT (seq, part) DO NOTHING")
            .run()
            .await
            .map(drop)
    }
}

/// How a name may stand in a detail.
struct Patterns {
    /// As a whole value.
    whole: String,
    /// Within a longer one: as JSON has it, and as the query of an address has it.
    anywhere: [String; 2],
}

impl Patterns {
    fn of(name: &str) -> Self {
        let quoted = serde_json::Value::from(name).to_string();
        let anywhere = [&quoted[1..quoted.len() - 1], &in_address(name)].map(like_anywhere);
        Self { whole: like_anywhere(&quoted), anywhere }
    }
}

fn about(actor: &Actor, id: &str, subject: &Subject, outcome: Outcome) -> Draft {
    let mut draft = Draft::new(actor, Action::AuditErase, outcome);
    draft = match subject {
        Subject::Tenant { workspace, id } => {
            draft.workspace(workspace).tenant(Some(id.as_str())).target("tenant", id)
        }
        Subject::Person { id } => draft.target("admin", id),
    };
    draft.op_id = Some(id.to_owned());
    draft
}

impl TryFrom<Row> for Erasure {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let subject = match (row.subject.as_str(), row.workspace_id) {
            ("tenant", Some(workspace)) => Subject::Tenant { workspace, id: row.subject_id },
            ("person", None) => Subject::Person { id: row.subject_id },
            _ => return Err(Error::Corrupt("whose data is erased".into())),
        };
        Ok(Self {
            subject,
            state: ErasureState::parse(&row.state).ok_or_else(|| Error::Corrupt("erasure's state".into()))?,
            id: row.id,
            asked_at: row.asked_at,
            ended_at: row.ended_at,
            details: row.details,
        })
    }
}
