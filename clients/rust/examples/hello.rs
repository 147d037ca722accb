//! Says hello to bob as alice, and prints what happens in their room: `hello [SERVER]`.
#![allow(clippy::print_stdout, reason = "an example")]

use std::env;
use std::error::Error;

use parlance_client::transport::{Dialer, Door};
use parlance_client::v1::event::Body;
use parlance_client::{Config, Message, Session, Update};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let dialer = Dialer::new(Door::Grpc, server);
    // In local mode the server gives a token to anyone; elsewhere the app's own backend makes one.
    dialer.create_user("bob", "Bob").await?;
    let token = dialer.create_user("alice", "Alice").await?;

    let (session, mut updates) = Session::start(Config::new(dialer, token));
    let (sender, hello) = (session.clone(), Message::to_user("bob", "hello from Rust"));
    let sent = tokio::spawn(async move { sender.send_message(hello).await });
    while let Some(update) = updates.recv().await {
        let Update::Event(event) = update else { continue };
        if let Some(Body::Message(message)) = event.body {
            println!("{}: {}", event.actor_id, message.text);
            break;
        }
    }
    println!("stored with seq {}", sent.await??.seq);
    session.close().await;
    Ok(())
}
