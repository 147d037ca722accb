//! Real load balancers, with the configurations of `deploy/`, in front of three nodes.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may give up, and say where")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parlance_client::transport::Dialer;
use parlance_client::{Config, Message, Session, Update};
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::server_frame::Frame;
use parlance_tests::{
    BALANCERS, Balancer, Cluster, DOORS, Door, GrpcWeb, Http, Kind, Person, deploy, eventually, run_program,
    text_of, within,
};
use serde_json::json;
use tokio::task::JoinHandle;

/// The address for a transport.
fn at(balancer: &Balancer, door: Door) -> String {
    if door == Door::Grpc { balancer.grpc() } else { balancer.http() }
}

/// A user who connects through the balancer.
fn person(cluster: &Cluster, balancer: &Balancer, id: &str) -> Person {
    cluster.person_at(&balancer.grpc(), id)
}

#[tokio::test]
async fn every_transport_works_with_each_other() {
    let cluster = Cluster::start(3).await;
    for kind in BALANCERS {
        println!("through {kind:?}");
        let balancer = Balancer::start(kind, &cluster).await;
        let (alice, bob) = (person(&cluster, &balancer, "alice"), person(&cluster, &balancer, "bob"));
        let me = v1::GetUserRequest { user_id: "me".to_owned() };
        bob.users().get_user(me).await.unwrap();
        let room = alice.group(&[&bob]).await;
        for door in DOORS {
            let mut at_bob = cluster.person_at(&at(&balancer, door), "bob").connect(door).await;
            let mut at_alice = cluster.person_at(&at(&balancer, door), "alice").connect(door).await;
            let text = format!("through {door}");
            let sent = at_alice.call(Person::message(&room, &text)).await.unwrap();
            let events = at_bob.events_up_to(&room, sent.seq).await;
            assert_eq!(text_of(events.last().unwrap()), text);
        }
        rest(&balancer, &alice.token, &room).await;
        grpc_web(&balancer, &cluster, &room).await;
        let http = Http::new(balancer.http());
        assert_eq!(http.get("/readyz").answer().await.status, 200);
        assert_eq!(http.get("/").answer().await.status, 200, "the web page");
    }
}

async fn rest(balancer: &Balancer, token: &str, room: &str) {
    let http = Http::new(balancer.http());
    let path = format!("/v1/rooms/{room}/messages");
    let message = json!({"clientMessageId": format!("rest-{}", balancer.http()), "text": "by rest"});
    let sent = http.call(http::Method::POST, &path).bearer(token).json(&message).answer().await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let again = http.call(http::Method::POST, &path).bearer(token).json(&message).answer().await;
    assert_eq!(
        (again.json()["seq"].clone(), again.json()["isRepeat"].clone()),
        (sent.json()["seq"].clone(), true.into())
    );
}

/// A stream of events as read by a browser.
async fn grpc_web(balancer: &Balancer, cluster: &Cluster, room: &str) {
    let (http, token) = (Http::new(balancer.http()), cluster.token("bob"));
    let request = v1::SubscribeRequest { hello: Some(v1::Hello::default()) };
    let mut stream = GrpcWeb::call(&http, Some(&token), "/parlance.v1.ChatService/Subscribe", &request).await;
    let welcome: v1::ServerFrame = stream.message().await.unwrap();
    assert!(matches!(welcome.frame, Some(Frame::Welcome(_))), "{welcome:?}");
    // It must not wait in a buffer for further data.
    let sent = person(cluster, balancer, "alice").say(room, "to a browser").await;
    loop {
        let frame: v1::ServerFrame = stream.message().await.unwrap();
        if let Some(Frame::Event(event)) = frame.frame
            && event.seq == sent
        {
            return assert_eq!(text_of(&event), "to a browser");
        }
    }
}

/// An application that sends as fast as it is answered, and checks what it receives.
struct Application {
    sending: JoinHandle<BTreeMap<u64, String>>,
    receiving: JoinHandle<Vec<u64>>,
    acknowledged: Arc<AtomicU64>,
}

impl Application {
    fn start(cluster: &Cluster, balancer: &Balancer, door: Door, room: &str, end: &Arc<AtomicBool>) -> Self {
        let user = format!("{door:?}").to_lowercase();
        let dialer = Dialer::new(door, at(balancer, door));
        let (session, mut updates) = Session::start(Config::new(dialer, cluster.token(&user)));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (room, end, count) = (room.to_owned(), end.clone(), acknowledged.clone());
        let of_room = room.clone();
        let sending = tokio::spawn(async move {
            let mut sent = BTreeMap::new();
            while !end.load(Ordering::Relaxed) {
                let text = format!("{user} {}", sent.len());
                let message = Message::to_room(&room, text.clone());
                let answer = within("a message is sent", session.send_message(message)).await.unwrap();
                assert!(sent.insert(answer.seq, text).is_none(), "one seq for one message");
                count.fetch_add(1, Ordering::Relaxed);
            }
            sent
        });
        let receiving = tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(update) = updates.recv().await {
                match update {
                    Update::Event(event) if event.room_id == of_room => seen.push(event.seq),
                    Update::Violation(violation) => panic!("through {door}: {violation:?}"),
                    // Shown if the test fails.
                    Update::Connected(welcome) => println!("{door}: on {}", welcome.node_id),
                    Update::Disconnected { error, .. } => println!("{door}: disconnected: {error:?}"),
                    _ => {}
                }
            }
            seen
        });
        Self { sending, receiving, acknowledged }
    }

    /// Waits until more messages are acknowledged.
    async fn goes_on(&self) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        eventually("the application goes on", async || {
            (self.acknowledged.load(Ordering::Relaxed) >= before + 5).then_some(())
        })
        .await;
    }
}

/// Three applications in a room, one per transport; runs `trouble` while they talk.
async fn talk_through(kind: parlance_tests::Kind, trouble: impl AsyncFn(&mut Cluster, &[Application])) {
    println!("through {kind:?}");
    let mut cluster = Cluster::start(3).await;
    let balancer = Balancer::start(kind, &cluster).await;
    let owner = person(&cluster, &balancer, "owner");
    let mut members = Vec::new();
    for door in DOORS {
        let member = person(&cluster, &balancer, &format!("{door:?}").to_lowercase());
        member.users().get_user(v1::GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
        members.push(member);
    }
    let room = owner.group(&members.iter().collect::<Vec<_>>()).await;
    let end = Arc::new(AtomicBool::new(false));
    let applications: Vec<_> =
        DOORS.iter().map(|door| Application::start(&cluster, &balancer, *door, &room, &end)).collect();
    for application in &applications {
        application.goes_on().await;
    }
    trouble(&mut cluster, &applications).await;
    end.store(true, Ordering::Relaxed);
    let mut sent = BTreeMap::new();
    let mut seen = Vec::new();
    for application in applications {
        sent.extend(within("the last message is sent", application.sending).await.unwrap());
        seen.push(within("the session ends", application.receiving).await.unwrap());
    }
    let log = person(&cluster, &balancer, "owner").log(&room).await;
    let stored: BTreeMap<u64, String> = log
        .iter()
        .filter(|event| matches!(event.body, Some(Body::Message(_))))
        .map(|event| (event.seq, text_of(event).to_owned()))
        .collect();
    assert_eq!(stored, sent, "each acknowledged message is there, once");
    assert!(log.iter().zip(1..).all(|(event, seq)| event.seq == seq), "without a gap");
    for seqs in seen {
        assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "in order, without a hole: {seqs:?}");
    }
}

#[tokio::test]
async fn applications_go_on_when_nodes_are_killed() {
    for kind in BALANCERS {
        talk_through(kind, async |cluster, applications| {
            for node in 0..3 {
                cluster.kill(node).await;
                for application in applications {
                    application.goes_on().await;
                }
                cluster.start_again(node).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn rolling_restart_is_invisible() {
    for kind in BALANCERS {
        talk_through(kind, async |cluster, applications| {
            for node in 0..3 {
                cluster.restart(node).await;
                for application in applications {
                    application.goes_on().await;
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn lost_redis_does_not_stop_the_service() {
    for kind in BALANCERS {
        println!("through {kind:?}");
        let mut cluster = Cluster::start(3).await;
        let balancer = Balancer::start(kind, &cluster).await;
        let alice = person(&cluster, &balancer, "alice");
        let room = alice.channel().await;
        cluster.redis.kill().await.unwrap();
        let mut red = BTreeSet::new();
        let http = Http::new(balancer.http());
        eventually("every node says that it is not ready", async || {
            for (number, node) in cluster.nodes.iter().enumerate() {
                if Http::new(node.admin()).get("/readyz").answer().await.status == 503 {
                    red.insert(number);
                }
            }
            // Requests are answered throughout.
            let me = http.get("/v1/users/me").bearer(&alice.token).answer().await;
            assert_eq!(me.status, 200, "{me:?}");
            (red.len() == 3).then_some(())
        })
        .await;
        alice.say(&room, "without redis").await;
        cluster.person_at(&balancer.http(), "alice").connect(Door::WebSocketJson).await;
    }
}

#[tokio::test]
async fn hung_node_loses_its_clients_behind_haproxy() {
    let cluster = Cluster::start(3).await;
    let balancer = Balancer::start(Kind::Haproxy, &cluster).await;
    let alice = cluster.person_at(&balancer.http(), "alice");
    let mut idle = alice.connect(Door::WebSocketJson).await;
    let hung = idle.welcome().node_id.clone();
    for node in &cluster.nodes {
        let direct = node.person_with("alice", &alice.token).connect(Door::Grpc).await;
        if direct.welcome().node_id == hung {
            node.signal("STOP").await;
        }
    }
    // The node itself sends nothing.
    idle.cut_off().await;
    assert_ne!(alice.connect(Door::WebSocketJson).await.welcome().node_id, hung);
}

#[tokio::test]
async fn client_that_does_not_read_blocks_no_other() {
    let cluster = Cluster::start(3).await;
    for kind in BALANCERS {
        println!("through {kind:?}");
        let balancer = Balancer::start(kind, &cluster).await;
        for door in DOORS {
            // A new user without anything to catch up on.
            let name = format!("{kind:?}-{door:?}").to_lowercase();
            let room = person(&cluster, &balancer, &name).channel().await;
            let someone = cluster.person_at(&at(&balancer, door), &name);
            let mut stuck = Vec::new();
            for _ in 0..6 {
                stuck.push(someone.connect(door).await);
            }
            let mut reading = someone.connect(door).await;
            // Directly to a node: this test is about the readers.
            let mut sending = cluster.person(0, &name).connect(Door::Grpc).await;
            let last = sending.flood(&room, 900, |number| format!("{number:03000}")).await;
            reading.events_up_to(&room, last).await;
        }
    }
}

#[test]
fn the_configuration_for_compose_is_the_same() {
    let read = |file: &str| std::fs::read_to_string(deploy().join("nginx").join(file)).unwrap();
    let body = |text: &str| text[text.find("worker_processes").unwrap()..].to_owned();
    let mut expected = String::new();
    for line in body(&read("nginx.conf")).lines() {
        let line = line.replace("127.0.0.1:8081", "node:8080").replace("listen 127.0.0.1:", "listen ");
        if !line.contains("127.0.0.1:808") {
            expected.push_str(&line);
            expected.push('\n');
        }
    }
    assert_eq!(body(&read("compose.conf")), expected);
}

#[tokio::test]
async fn the_configuration_with_tls_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    let (key, certificate) = (dir.path().join("tls.key"), dir.path().join("tls.crt"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (key_path, certificate_path) = (path(&key), path(&certificate));
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"];
    let out = ["-keyout", &key_path, "-out", &certificate_path];
    run_program("openssl", &[&request[..], &out[..]].concat()).await;
    let configuration = std::fs::read_to_string(deploy().join("nginx/tls.conf")).unwrap();
    let adapted = configuration
        .replace("/etc/parlance", dir.path().to_str().unwrap())
        .replace("/run/parlance", &path(&dir.path().join("run")))
        .replace("/tmp/parlance", &path(&dir.path().join("tmp")));
    let file = dir.path().join("tls.conf");
    std::fs::write(&file, adapted).unwrap();
    run_program("nginx", &["-t", "-e", "stderr", "-c", &path(&file)]).await;
}
