//! The site, changed by somebody other than CI/CD.

use super::{Drill, Report, answered, proof};
use crate::range::{Attacker, Error, ODD_PAGE, PAGE, Range, Result, SHARED};

const DEFACED: &str = "<h1>Owned</h1>";

pub(super) const SITE_DEFACED: Drill = Drill {
    name: "site-defaced",
    what: "an IAM user overwrites the site's first page",
    run: |range, report| Box::pin(site_defaced(range, report)),
};

async fn site_defaced(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let ci = range.attacker_session(SHARED, "run-31").await?;
    for page in [PAGE, ODD_PAGE] {
        ci.deploy(page).await?;
    }
    let good = pages(range).await?;
    for (name, page) in [("veronica", PAGE), ("vincent", ODD_PAGE)] {
        let attacker = range.attacker_user(name).await?;
        report.attack(format!("{name} calls s3:PutObject on {page:?}"));
        let event = attacker.write(page, DEFACED).await?;
        is_defaced(range, report, page).await?;

        let run = answered(range, report, &event).await?;

        proof::ended_green(report, &run)?;
        let now = pages(range).await?;
        report.proves("the site is back, byte for byte", now == good)?;
        let evidence = range.evidence(event.id()).await?;
        report.proves("what was written is in quarantine", evidence == [DEFACED])?;
        proof::user_is_denied(range, report, &attacker).await?;
        proof::refused_again(report, attacker.write(page, DEFACED).await)?;
    }
    Ok(())
}

pub(super) const FILE_ADDED: Drill = Drill {
    name: "file-added",
    what: "an IAM user puts a file on the site that was never there",
    run: |range, report| Box::pin(file_added(range, report)),
};

async fn file_added(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let victor = range.attacker_user("victor").await?;
    report.attack("victor calls s3:PutObject on \"login.html\"");
    let event = victor.write("login.html", DEFACED).await?;
    is_defaced(range, report, "login.html").await?;

    let run = answered(range, report, &event).await?;

    proof::ended_green(report, &run)?;
    let there = range.page("login.html").await?;
    report.proves("the file is off the site", there.is_none())?;
    let evidence = range.evidence(event.id()).await?;
    report.proves("it is in quarantine", evidence == [DEFACED])?;
    proof::refused_again(report, victor.write("login.html", DEFACED).await)
}

pub(super) const PAGES_DELETED: Drill = Drill {
    name: "pages-deleted",
    what: "an IAM user deletes one page, then all of them in one call that names none",
    run: |range, report| Box::pin(pages_deleted(range, report)),
};

async fn pages_deleted(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let ci = range.attacker_session(SHARED, "run-32").await?;
    for page in [PAGE, ODD_PAGE] {
        ci.deploy(page).await?;
    }
    let good = pages(range).await?;
    let vito = range.attacker_user("vito").await?;
    report.attack("vito calls s3:DeleteObject");
    let event = vito.delete(PAGE).await?;
    is_gone(range, report, PAGE).await?;
    let run = answered(range, report, &event).await?;
    proof::ended_green(report, &run)?;
    report.proves("the page is back", pages(range).await? == good)?;
    proof::refused_again(report, vito.delete(PAGE).await)?;

    let vivian = range.attacker_user("vivian").await?;
    report.attack("vivian calls s3:DeleteObjects");
    let event = vivian.wipe(&[PAGE, ODD_PAGE]).await?;
    is_gone(range, report, PAGE).await?;
    is_gone(range, report, ODD_PAGE).await?;
    let run = answered(range, report, &event).await?;
    proof::ended_green(report, &run)?;
    report.proves("all pages are back", pages(range).await? == good)?;
    proof::refused_again(report, vivian.wipe(&[PAGE]).await)
}

pub(super) const NEWER_DEPLOY_WINS: Drill = Drill {
    name: "newer-deploy-wins",
    what: "CI/CD deploys over a defaced page before the event arrives, and deploys every day",
    run: |range, report| Box::pin(newer_deploy_wins(range, report)),
};

async fn newer_deploy_wins(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let ci = range.attacker_session(SHARED, "run-33").await?;
    let deployed = ci.deploy(PAGE).await?;
    let deliveries = range.deliver(&deployed).await?;
    proof::ignored(report, "a deployment starts nothing", &deliveries)?;
    let valerie = range.attacker_user("valerie").await?;
    report.attack("valerie calls s3:PutObject; CI/CD deploys a new page before anybody knows");
    let event = valerie.write(PAGE, DEFACED).await?;
    ci.write(PAGE, "<h1>The new clinic</h1>").await?;

    let run = answered(range, report, &event).await?;

    proof::ended_green(report, &run)?;
    let page = range.page(PAGE).await?;
    report.proves(
        "the newer deployment stays",
        page.as_deref() == Some("<h1>The new clinic</h1>"),
    )?;
    let evidence = range.evidence(event.id()).await?;
    report.proves("what was written is in quarantine", evidence == [DEFACED])?;
    proof::refused_again(report, valerie.write(PAGE, DEFACED).await)
}

pub(super) const SITE_FLOODED: Drill = Drill {
    name: "site-flooded",
    what: "an IAM user writes thirty files, and the events arrive all at once",
    run: |range, report| Box::pin(site_flooded(range, report)),
};

async fn site_flooded(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let vlad = range.attacker_user("vlad").await?;
    report.attack("vlad calls s3:PutObject thirty times");
    flooded(range, report, &vlad, 30).await
}

/// `user` writes so many files, and every one of them is dealt with.
pub(super) async fn flooded(
    range: &Range,
    report: &mut Report<'_>,
    user: &Attacker,
    files: usize,
) -> Result<()> {
    let mut events = Vec::new();
    for file in 0..files {
        events.push(user.write(&format!("flood/{file}.html"), DEFACED).await?);
    }
    let deliveries = range.deliver_all(&events).await?;
    report.proves(
        format!("{files} events start {files} runs"),
        deliveries.len() == files
            && deliveries
                .iter()
                .all(|delivery| delivery.triage.times("Started") == 1),
    )?;
    let (mut acted, mut green) = (0, 0);
    for event in &events {
        let run = range.run_of(event).await?;
        acted += run
            .answers("Deny all")
            .filter(|done| done["changed"] == true)
            .count();
        green += usize::from(run.succeeded());
    }
    report.proves("every run ended green", green == files)?;
    report.proves("the actor was contained once", acted == 1)?;
    for file in 0..files {
        let key = format!("flood/{file}.html");
        if range.page(&key).await?.is_some() {
            return Err(Error::new(format!("{key} is still on the site")));
        }
    }
    report.proves("every file is off the site", true)?;
    let told = range.messages().await?;
    let about = told
        .iter()
        .filter(|message| message.facts["incident"]["actor"]["arn"] == user.identity["arn"]);
    report.proves(
        "people got two messages, not two for each file",
        about.count() == 2,
    )
}

async fn pages(range: &Range) -> Result<Vec<Option<String>>> {
    Ok(vec![range.page(PAGE).await?, range.page(ODD_PAGE).await?])
}

async fn is_defaced(range: &Range, report: &mut Report<'_>, page: &str) -> Result<()> {
    if range.page(page).await?.as_deref() != Some(DEFACED) {
        return Err(Error::new("the attack did nothing: the page is as it was"));
    }
    report.attack("the site shows it");
    Ok(())
}

async fn is_gone(range: &Range, report: &mut Report<'_>, page: &str) -> Result<()> {
    if range.page(page).await?.is_some() {
        return Err(Error::new("the attack did nothing: the page is there"));
    }
    report.attack(format!("{page:?} is gone"));
    Ok(())
}
