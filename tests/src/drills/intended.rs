//! A change that an operator recorded first.

use serde_json::json;

use super::{Drill, Report, answered, proof};
use crate::range::{Context, OPERATOR, Range, Result};

pub(super) const INTENDED_CHANGE: Drill = Drill {
    name: "intended-change",
    what: "a change that an operator recorded first is left alone; one beyond it is not",
    run: |range, report| Box::pin(intended_change(range, report)),
};

async fn intended_change(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let operator = range.attacker_session(OPERATOR, "oskar").await?;
    let admin = range.attacker_user("ada").await?;
    let made = range.aws.s3.create_bucket().bucket(NEW_BUCKET).send().await;
    made.context("creating the new bucket")?;
    report.attack("an operator records that the trail may write to another bucket");
    let machine = range.output("RecordBaselineArn")?;
    let input = json!({
        "reason": "new log account",
        "intended": {"trail": {"s3BucketName": NEW_BUCKET}},
    });
    let (event, execution) = operator.start(machine, &input).await?;
    let run = range.end_of(&execution).await?;
    report.done(&run);
    report.proves("it was recorded", run.succeeded())?;
    let seen = range.deliver(&event).await?;
    proof::ignored(report, "the operator started nothing by it", &seen)?;

    report.attack("ada calls cloudtrail:UpdateTrail, with that bucket");
    let event = admin.redirect_trail(NEW_BUCKET).await?;
    let intended = range.snapshot().await?;
    let seen = range.deliver(&event).await?;
    for delivery in &seen {
        report.seen(delivery);
    }
    report.proves("a rule saw it", !seen.is_empty())?;
    proof::ignored(report, "it started nothing", &seen)?;
    proof::checked(range, report, "As recorded").await?;
    proof::may_work(report, &admin).await?;

    report.attack("ada calls cloudtrail:PutEventSelectors too, for reads only");
    let event = admin.narrow_trail().await?;
    let run = answered(range, report, &event).await?;
    proof::ended_green(report, &run)?;
    let after = range.snapshot().await?;
    report.proves_unchanged(
        "the selectors are back, and the intended bucket stays",
        &after.surveillance_since(&intended),
    )?;
    proof::user_is_denied(range, report, &admin).await?;
    proof::refused_again(report, admin.narrow_trail().await)
}

const NEW_BUCKET: &str = "new-trail-logs";
