//! K4: somebody is displaced, forgotten or held back and is never told.

use std::thread;
use std::time::{Duration, Instant};

use crate::process::Arena;
use crate::wire::{Said, Socket, ask};
use crate::{Attack, Told, dispatch, enqueue, expect, field, until};

/// The attacks of this kind.
pub const ATTACKS: &[Attack] = &[
    Attack {
        entry: "K4.1",
        what: "two workers of ours with one name",
        memory_mib: 60,
        seconds: 20,
        is_short: true,
        run: one_name,
    },
    Attack {
        entry: "K4.2",
        what: "a drain that is taken back",
        memory_mib: 60,
        seconds: 20,
        is_short: false,
        run: drain_and_resume,
    },
    Attack {
        entry: "K4.4",
        what: "a worker of others polls a hub that was restarted",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: forgotten_poller,
    },
    Attack {
        entry: "K4.5",
        what: "a time limit frees a slot that a worker of others still uses",
        memory_mib: 60,
        seconds: 20,
        is_short: false,
        run: slot_in_use,
    },
    Attack {
        entry: "K4.6",
        what: "the older's farewell under the newer's name; an operator's removal",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: farewells,
    },
    Attack {
        entry: "K4.7",
        what: "a wrong password over HTTP polling",
        memory_mib: 60,
        seconds: 20,
        is_short: true,
        run: wrong_password,
    },
    Attack {
        entry: "K4.8",
        what: "a worker whose store cannot be opened",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: closed_store,
    },
];

const SOON: Duration = Duration::from_secs(10);

fn one_name(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let more = ["--name", "twin", "--set", "reconnect.max_delay_ms=500"];
    let older = arena.worker(&hub.address, &more)?;
    older.log.wait("transport=", SOON)?;
    let mut newer = arena.worker(&hub.address, &more)?;
    newer.log.wait("transport=", SOON)?;
    older.log.wait("NAME_TAKEN", SOON)?;
    hub.log.wait("NAME_TAKEN", SOON)?;
    newer.kill();
    let log = older.log.clone();
    until("the older is back", SOON, || log.count("transport=") >= 2)?;
    dispatch(&hub.address, "Test/Echo", "{}", 10_000)?.expect(200)?;
    Ok("the older is told, waits, and is back when the name is free".to_owned())
}

fn drain_and_resume(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let url = format!("http://{}", hub.address);
    let worker = arena.worker(&hub.address, &["--name", "w"])?;
    worker.log.wait("registered", SOON)?;
    let drain = |more: &str| -> Told<()> {
        let mut command = arena.moorline(&["drain", "w", more, "--url", &url])?;
        let code = command.end(SOON)?;
        expect(code == 0, format!("drain {more} ends with {code}"))
    };
    drain("--no-wait")?;
    let held = dispatch(&hub.address, "Test/Echo", "{}", 1_000)?;
    expect(held.status != 200, "it gets work while it is drained")?;
    drain("--resume")?;
    dispatch(&hub.address, "Test/Echo", "{}", 10_000)?.expect(200)?;
    Ok("nothing while it lasts, work again afterwards".to_owned())
}

fn forgotten_poller(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let poll = r#"{"BeaconID":"bcn-of-another-life"}"#;
    ask(&hub.address, "POST", "/Beacon/Work/Poll", poll)?.expect(401)?;
    let body = r#"{"Name":"back","Capabilities":["Pin"]}"#;
    let registered = ask(&hub.address, "POST", "/Beacon/Register", body)?.expect(200)?;
    let poll = format!(r#"{{"BeaconID":"{}"}}"#, field(&registered.body, "BeaconID"));
    ask(&hub.address, "POST", "/Beacon/Work/Poll", &poll)?.expect(200)?;
    Ok("401 to its poll; registered again it may poll".to_owned())
}

fn slot_in_use(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let mut worker = Socket::worker(&hub.address, "others", "Pin", 1)?;
    let address = hub.address.clone();
    let first = thread::spawn(move || dispatch(&address, "Pin/Any", "{}", 1_000));
    let item = worker.hear("WorkItemHash")?;
    let hash = field(&item, "WorkItemHash").to_owned();
    let answer = first.join().map_err(|_| "the caller panicked")??;
    expect(answer.status != 200, "an item that nobody ran has succeeded")?;
    let next = enqueue(&hub.address, "Pin", "")?;
    // What the hub would push at once is there before the answer to a ping.
    worker.send(0x9, b"in between")?;
    loop {
        match worker.read()? {
            Said::Pong => break,
            Said::Text(text) => expect(!text.contains(&next), "pushed beyond its slots")?,
            Said::Ping => worker.pong()?,
            Said::Close(_) | Said::End => return Err("cut".to_owned()),
        }
    }
    worker.say(&format!(
        r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{{}},"Log":[]}}"#
    ))?;
    worker.hear(&next)?;
    Ok("its slot stays taken until it reports".to_owned())
}

fn farewells(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let register = |socket: &mut Socket| -> Told<String> {
        socket.say(r#"{"Action":"BeaconRegister","Name":"twin","Capabilities":["Pin"]}"#)?;
        Ok(field(&socket.hear("BeaconRegistered")?, "BeaconID").to_owned())
    };
    let mut older = Socket::open(&hub.address, "/")?;
    let former = register(&mut older)?;
    let mut newer = Socket::open(&hub.address, "/")?;
    let id = register(&mut newer)?;
    expect(id != former, "both have one id")?;
    ask(&hub.address, "DELETE", &format!("/Beacon/{former}"), "")?.expect(404)?;
    enqueue(&hub.address, "Pin", "")?;
    newer.hear("WorkItemHash")?;
    let began = Instant::now();
    ask(&hub.address, "DELETE", &format!("/Beacon/{id}"), "")?.expect(200)?;
    newer.hear("Deregistered")?;
    let waited = began.elapsed();
    expect(waited < Duration::from_secs(1), format!("told after {waited:?}"))?;
    Ok("the newer stays; whoever is removed is told at once".to_owned())
}

fn wrong_password(arena: &Arena) -> Told<String> {
    let config = "access = \"secured\"\n[[users]]\nname = \"ada\"\npassword = \"right\"\n";
    let hub = arena.hub(&["--config", &arena.file("hub.toml", config)?])?;
    let password = arena.file("password", "wrong")?;
    let more =
        ["--set", "transport=polling", "--set", "user_name=ada", "--password-file", &password];
    let mut worker = arena.worker(&hub.address, &more)?;
    let code = worker.end(SOON)?;
    expect(code == 4, format!("it ends with {code}"))?;
    let url = format!("http://{}", hub.address);
    let login = ["status", "--url", &url, "--user", "ada", "--password-file", &password];
    let code = arena.moorline(&login)?.end(SOON)?;
    expect(code == 4, format!("status ends with {code}"))?;
    Ok("exit code 4".to_owned())
}

fn closed_store(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    // A file where the folder should be.
    let path = format!("runtime.store_path={}/worker.db", arena.file("in-the-way", "x")?);
    let mut worker = arena.worker(&hub.address, &["--set", &path])?;
    let code = worker.end(SOON)?;
    expect(code != 0, "it goes on")?;
    worker.log.wait("STORE_FAILED", Duration::from_secs(1))?;
    let workers = ask(&hub.address, "GET", "/Beacon", "")?.expect(200)?;
    expect(workers.json() == serde_json::json!([]), "it is registered")?;
    Ok("STORE_FAILED, and it is not registered".to_owned())
}
