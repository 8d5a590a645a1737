//! The front door: guessed passwords, a stolen account, an attack on the API.

use super::{Drill, Report, answered, answered_by, proof};
use crate::range::{Context, Delivery, Error, Event, Nurse, PATIENT, Range, Result, STACK, SignIn};

/// A network that a human blocked by hand, before us.
const BY_HAND: &str = "198.51.100.77/32";

const PASSWORDS: [&str; 6] = [
    "summer-2026",
    "letmein",
    "clinic",
    "password1",
    "qwertz",
    "hospital",
];

pub(super) const PASSWORDS_GUESSED: Drill = Drill {
    name: "passwords-guessed",
    what: "somebody guesses a nurse's password from several addresses, and gets nowhere",
    run: |range, report| Box::pin(passwords_guessed(range, report)),
};

async fn passwords_guessed(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let olga = range.nurse("olga").await?;
    range.block_by_hand(BY_HAND).await?;
    report.attack("wrong passwords for olga, from IPv4 and IPv6");
    let addresses = ["203.0.113.21", "2001:db8:51:1::9", "2001:db8:51:1::a"];
    let (last, deliveries) = guess(range, &olga, &addresses, &PASSWORDS[..5]).await?;

    let run = answered_by(range, report, &last, &deliveries).await?;

    proof::answered_by_runbook(report, &run, "credential-attack")?;
    proof::ended_green(report, &run)?;
    for network in ["203.0.113.21/32", "2001:db8:51:1::/64"] {
        report.proves(
            format!("{network} is blocked"),
            range.blocked().await?.contains(network),
        )?;
    }
    report.proves(
        "what a human blocked by hand is blocked still",
        range.blocked().await?.contains(BY_HAND),
    )?;
    proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    let signed_in = range.sign_in(&olga, Nurse::PASSWORD, "192.0.2.10").await?;
    report.proves(
        "olga, who was attacked and not broken into, signs in",
        signed_in.outcome.is_ok(),
    )?;
    let again = guess(range, &olga, &["203.0.113.22"], &PASSWORDS[5..]).await?;
    report.proves(
        "the same attack starts nothing twice",
        incidents(&again.1).is_empty(),
    )
}

pub(super) const ACCOUNT_TAKEN: Drill = Drill {
    name: "account-taken",
    what: "a nurse's password is guessed at last, and the thief reads patients",
    run: |range, report| Box::pin(account_taken(range, report)),
};

async fn account_taken(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let otto = range.nurse("otto").await?;
    let thief = "203.0.113.31";
    report.attack("wrong passwords for otto, then the right one");
    let (last, deliveries) = guess(range, &otto, &[thief], &PASSWORDS[..5]).await?;
    let attacked = answered_by(range, report, &last, &deliveries).await?;
    proof::answered_by_runbook(report, &attacked, "credential-attack")?;
    // Logs take minutes to come on AWS; here they are there, or never come.
    range.scale_waits(0.0)?;
    let stolen = range.sign_in(&otto, Nurse::PASSWORD, thief).await?;
    let tokens = stolen.outcome.map_err(Error::new)?;
    let reads = async || {
        range
            .read_by_api(&otto, Some(&tokens.access), PATIENT, thief)
            .await
    };
    report.attack(format!("the thief reads a patient: {}", reads().await?));

    let run = answered(range, report, &stolen.event).await?;

    proof::answered_by_runbook(report, &run, "credential-attack")?;
    let opened = run.answers("Open incident").next();
    report.proves(
        "it is as urgent as can be",
        opened.is_some_and(|opened| opened["incident"]["severity"] == "critical"),
    )?;
    report.proves("the stolen token is refused", reads().await? == 401)?;
    let again = range.sign_in(&otto, Nurse::PASSWORD, thief).await?;
    report.proves("nobody signs in as otto", again.outcome.is_err())?;
    let refreshed = range.refresh(&tokens).await?;
    report.proves("the stolen session gets no new token", refreshed.is_some())?;
    report.proves(
        "the thief's address is blocked",
        range.blocked().await?.contains("203.0.113.31/32"),
    )?;
    report.proves(
        "what the thief did was looked for",
        run.times("Find activity") >= 1,
    )?;
    let told = proof::told(range, report, &run.name, &["opened", "closed"]).await?;
    report.proves(
        "no message names otto, or a patient",
        told.iter().all(|message| {
            let text = message.facts.to_string();
            !text.contains(&otto.name) && !text.contains(PATIENT)
        }),
    )
}

pub(super) const NURSE_MISTYPES: Drill = Drill {
    name: "nurse-mistypes",
    what: "nobody attacks: a nurse mistypes thrice at home, then remembers",
    run: |range, report| Box::pin(nurse_mistypes(range, report)),
};

async fn nurse_mistypes(range: &Range, report: &mut Report<'_>) -> Result<()> {
    let paula = range.nurse("paula").await?;
    let home = "203.0.113.41";
    let (_, mut deliveries) = guess(range, &paula, &[home], &PASSWORDS[..3]).await?;
    let right = range.sign_in(&paula, Nurse::PASSWORD, home).await?;
    deliveries.extend(range.deliver(&right.event).await?);
    report.proves(
        "each attempt was counted",
        deliveries.len() == 4 && deliveries.iter().all(|it| it.triage.times("Counted") == 1),
    )?;
    report.proves("nothing was started", incidents(&deliveries).is_empty())?;
    report.proves(
        "paula's home is not blocked",
        !range.blocked().await?.contains("203.0.113.41/32"),
    )?;
    let tokens = right.outcome.map_err(Error::new)?;
    let status = range
        .read_by_api(&paula, Some(&tokens.access), PATIENT, home)
        .await?;
    report.proves("paula works", status == 200)
}

pub(super) const SIGN_INS_STORM: Drill = Drill {
    name: "sign-ins-storm",
    what: "one address tries twenty names at once, and then so does the clinic's own",
    run: |range, report| Box::pin(sign_ins_storm(range, report)),
};

async fn sign_ins_storm(range: &Range, report: &mut Report<'_>) -> Result<()> {
    report.attack("twenty names that nobody has, from one address, at once");
    let deliveries = spray(range, "203.0.113.51", 20).await?;
    let started = incidents(&deliveries);
    report.proves(
        format!("{} runbook answers twenty attempts", started.len()),
        started.len() == 1,
    )?;
    let run = range.incident(&started[0]).await?;
    report.done(&run);
    proof::ended_green(report, &run)?;
    report.proves(
        "the address is blocked",
        range.blocked().await?.contains("203.0.113.51/32"),
    )?;

    report.attack("the same from the clinic's own address");
    let deliveries = spray(range, "192.0.2.99", 12).await?;
    let told: usize = deliveries
        .iter()
        .map(|it| it.triage.times("Escalated"))
        .sum();
    report.proves(format!("a human is told {told} time"), told == 1)?;
    report.proves(
        "no runbook answers, and the clinic is not blocked",
        incidents(&deliveries).is_empty() && !range.blocked().await?.contains("192.0.2."),
    )
}

pub(super) const BLOCKS_EXPIRE: Drill = Drill {
    name: "blocks-expire",
    what: "the time of a block is over, and a human's entry stays",
    run: |range, report| Box::pin(blocks_expire(range, report)),
};

async fn blocks_expire(range: &Range, report: &mut Report<'_>) -> Result<()> {
    range.block_by_hand(BY_HAND).await?;
    let network = "203.0.113.61/32";
    let deliveries = spray(range, "203.0.113.61", 10).await?;
    let started = incidents(&deliveries);
    let first = started.first().context("nothing answers")?;
    range.incident(first).await?;
    report.proves(
        format!("{network} is blocked"),
        range.blocked().await?.contains(network),
    )?;
    proof::due(range, report, "blocks-swept", "Swept").await?;
    report.proves(
        "and stays so when the firewall is swept before its time",
        range.blocked().await?.contains(network),
    )?;
    report.attack("an hour passes");
    range.expire_blocks().await?;
    proof::due(range, report, "blocks-swept", "Swept").await?;
    let left = range.blocked().await?;
    report.proves(
        format!("{network} is let in again"),
        !left.contains(network),
    )?;
    report.proves("a human's entry stays", left.contains(BY_HAND))
}

pub(super) const API_ATTACKED: Drill = Drill {
    name: "api-attacked",
    what: "the firewall's alarm goes off: two addresses send SQL, one is the clinic's own",
    run: |range, report| Box::pin(api_attacked(range, report)),
};

async fn api_attacked(range: &Range, report: &mut Report<'_>) -> Result<()> {
    range.block_by_hand(BY_HAND).await?;
    let attackers = ["203.0.113.71", "2001:db8:71::5", "192.0.2.55"];
    range.scale_waits(0.0)?;
    range.sample_attacks("sql-injection", &attackers)?;
    report.attack("requests with SQL in them, from three addresses");
    let event = Event::alarm(&format!("{STACK}-api-attacked-sql-injection"));
    let run = answered(range, report, &event).await?;
    proof::answered_by_runbook(report, &run, "api-attack")?;
    let now = range.blocked().await?;
    for network in ["203.0.113.71/32", "2001:db8:71::/64"] {
        report.proves(format!("{network} is blocked"), now.contains(network))?;
    }
    report.proves("the clinic's own address is not", !now.contains("192.0.2."))?;
    report.proves("a human's entry stays", now.contains(BY_HAND))?;
    proof::ended_red(report, &run, "Find offenders")?;
    proof::left(report, &run, "192.0.2.55")?;
    proof::told(range, report, &run.name, &["opened", "closed"])
        .await
        .map(|_| ())
}

/// Tries passwords one after the other, each from the next address; the last event, and what came of
/// all.
async fn guess(
    range: &Range,
    nurse: &Nurse,
    addresses: &[&str],
    passwords: &[&str],
) -> Result<(Event, Vec<Delivery>)> {
    let mut deliveries = Vec::new();
    let mut last = None;
    for (password, address) in passwords.iter().zip(addresses.iter().cycle()) {
        let SignIn { event, outcome } = range.sign_in(nurse, password, address).await?;
        if outcome.is_ok() {
            return Err(Error::new(format!("{password} is the password")));
        }
        deliveries.extend(range.deliver(&event).await?);
        last = Some(event);
    }
    Ok((last.context("no password was tried")?, deliveries))
}

/// Tries as many names that nobody has, and delivers all events at once.
async fn spray(range: &Range, address: &str, names: usize) -> Result<Vec<Delivery>> {
    let mut events = Vec::new();
    for number in 0..names {
        let nobody = Nurse::nobody(&format!("nurse-{number}@clinic.example"));
        events.push(range.sign_in(&nobody, "letmein", address).await?.event);
    }
    range.deliver_all(&events).await
}

fn incidents(deliveries: &[Delivery]) -> Vec<String> {
    let incidents = deliveries.iter().filter_map(Delivery::incident);
    incidents.map(str::to_owned).collect()
}
