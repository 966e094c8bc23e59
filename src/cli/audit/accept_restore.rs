//! `gatehouse audit accept-restore`: shows how the log contradicts what was signed of it, and on a second call goes on with
//! what there is.

use super::{
    super::{Error, ServeArgs, say},
    key::open_keyring,
};
use crate::{app, audit::restore::Survey, clock::Clock, config::Config, domain::times, metrics::Metrics};
use clap::Args;
use std::{fmt::Write, sync::Arc};

#[derive(Args)]
pub struct AcceptRestoreArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Accept the log with this many entries, as it was shown
    #[arg(long, value_name = "NUMBER")]
    entries: Option<i64>,
    /// Why, for the log
    #[arg(long, default_value = "")]
    reason: String,
}

pub async fn run(args: AcceptRestoreArgs) -> Result<(), Error> {
    let config = Config::load(args.serve.settings, args.serve.config)?;
    let db = app::open_database(&config).await?;
    let keyring = Arc::new(open_keyring(&config, &db).await?);
    let metrics = Arc::new(Metrics::default());
    let log = app::open_audit_log(&config, &db, &Clock::default(), &metrics, &keyring).await?;
    let usage = |error: crate::audit::restore::Error| Error::Usage(error.to_string());
    let survey = log.survey().await.map_err(usage)?;
    say(&shown(&survey))?;
    let done = match args.entries {
        None => Err(Error::Usage(format!(
            "nothing was changed; to go on with this log: gatehouse audit accept-restore --entries {}",
            survey.size
        ))),
        Some(entries) if entries != survey.size => Err(Error::Usage(format!(
            "nothing was changed: the log has {} entries, not {entries}",
            survey.size
        ))),
        Some(_) => match log.accept(&survey, &args.reason).await {
            Ok(checkpoint) => say(&format!(
                "Accepted. The log goes on as {}; a running gateway notices within seconds.",
                checkpoint.origin
            )),
            Err(error) => Err(usage(error)),
        },
    };
    db.close().await;
    done
}

fn shown(survey: &Survey) -> String {
    let Survey { fork, size, at, root, lost, epoch } = survey;
    let mut text = format!(
        "The audit log contradicts what was signed of it:\n  {}\n\nIn the database: {size} entries, the last of {}\n  root {}\n",
        fork.reason,
        times::to_iso(*at),
        hex::encode(root)
    );
    let _ = match lost {
        Some(lost) => write!(
            text,
            "Signed: {} entries, as {}\n  root {}\n",
            lost.checkpoint.size,
            lost.checkpoint.origin,
            hex::encode(lost.checkpoint.root)
        ),
        None => writeln!(text, "Signed: no note of this log's key is left"),
    };
    let _ = write!(
        text,
        "\nWhoever accepts this goes on with the {size} entries there are. What was in others is lost to the log; a newer backup\n\
         may have it. The next entry, audit.restore, says so, and from then on checkpoints are of epoch {epoch}, which everybody\n\
         sees who checks the log. Keep the notes shown here and those handed out: they are the evidence.\n"
    );
    text
}
