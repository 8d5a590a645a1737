//! The site, changed by somebody other than CI/CD.

use super::{Drill, Report, answered, bill::Bill, proof};
use crate::range::{Attacker, Error, Event, ODD_PAGE, PAGE, Range, Result, Run, SHARED};

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

/// What it takes to answer many files, for the figures in `DESIGN.md`.
pub(super) const FLOOD: Drill = Drill {
    name: "flood",
    what: "an IAM user writes five hundred files; what it takes to answer them",
    run: |range, report| Box::pin(flood(range, report)),
};

async fn flood(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let vasco = range.attacker_user("vasco").await?;
    report.attack("vasco calls s3:PutObject five hundred times");
    flooded(range, report, &vasco, 500).await
}

/// So many events arrive at once: the emulator remembers 10,000 calls.
const AT_ONCE: usize = 50;

/// `user` writes so many files, and every one of them is dealt with.
async fn flooded(
    range: &Range,
    report: &mut Report<'_>,
    user: &Attacker,
    files: usize,
) -> Result<()> {
    let keys: Vec<_> = (0..files)
        .map(|file| format!("{}/{file}.html", user.name()))
        .collect();
    let mut events = Vec::new();
    for key in &keys {
        events.push(user.write(key, DEFACED).await?);
    }
    let mut bill = Bill::default();
    let (mut acted, mut green) = (0, 0);
    for some in events.chunks(AT_ONCE) {
        let (runs, calls) = range.with_calls(answers(range, some, &mut bill)).await?;
        bill.add_calls(calls);
        for run in runs {
            bill.add_run(&run)?;
            acted += run
                .answers("Deny all")
                .filter(|done| done["changed"] == true)
                .count();
            green += usize::from(run.succeeded());
        }
    }
    report.proves(
        format!("{files} events start {files} runs"),
        bill.runs() == files,
    )?;
    report.proves("every run ended green", green == files)?;
    report.proves("the actor was contained once", acted == 1)?;
    for key in keys {
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
    )?;
    bill.told(report);
    Ok(())
}

/// The runs that answer `events`, which arrive at once.
async fn answers(range: &Range, events: &[Event], bill: &mut Bill) -> Result<Vec<Run>> {
    for delivery in range.deliver_all(events).await? {
        if delivery.triage.times("Started") != 1 {
            return Err(Error::new("triage started no run"));
        }
        bill.add_triage(&delivery);
    }
    let mut runs = Vec::new();
    for event in events {
        runs.push(range.run_of(event).await?);
    }
    Ok(runs)
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
