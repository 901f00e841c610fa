//! Turns in paused time.

use std::net::SocketAddr;

use futures_util::FutureExt as _;

use super::*;

const LIMITS: Limits = Limits { running: 4, waiting: 6, waiting_per_address: 4 };

fn client(address: u8, port: u16) -> Requester {
    SocketAddr::from(([192, 0, 2, address], port)).into()
}

#[tokio::test(start_paused = true)]
async fn one_address_never_gets_all_turns_and_its_queue_is_bounded() {
    let turns = Turns::new(LIMITS);
    let mut held = Vec::new();
    for port in [1, 1, 2] {
        held.push(turns.turn(client(1, port)).now_or_never().unwrap().unwrap());
    }
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(turns.turn(client(1, 1)))).collect();
    for waiting in &mut waiting {
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    let crowded = turns.turn(client(1, 1)).await.unwrap_err();
    assert_eq!(crowded, Crowded::Address(4));
    assert!(turns.turn(client(2, 1)).now_or_never().is_some(), "the other gets a turn at once");
    drop(waiting);
    assert_eq!(turns.counts(), (3, 0), "a task that leaves the queue leaves nothing behind");
    drop(held);
    assert_eq!(turns.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_connection_leaves_a_turn_for_others_of_its_address() {
    let turns = Turns::new(LIMITS);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(turns.turn(client(1, 1)).now_or_never().unwrap().unwrap());
    }
    assert!(turns.turn(client(1, 1)).now_or_never().is_none());
    assert!(turns.turn(client(1, 2)).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn in_a_full_queue_the_connection_with_the_most_tasks_loses_one() {
    let turns = Turns::new(Limits { running: 1, ..LIMITS });
    let _held = turns.turn(client(9, 1)).await.unwrap();
    let mut crowd: Vec<_> = (0..4).map(|_| Box::pin(turns.turn(client(1, 1)))).collect();
    for waiting in &mut crowd {
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    let mut second = Box::pin(turns.turn(client(1, 2)));
    assert!(second.as_mut().now_or_never().is_none(), "it waits");
    let displaced = crowd.pop().unwrap().await;
    assert_eq!(displaced.unwrap_err(), Crowded::Address(4), "instead of the newest of the crowd");
    let mut others: Vec<_> = (2..5).map(|n| Box::pin(turns.turn(client(n, 1)))).collect();
    for waiting in &mut others {
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    assert_eq!(crowd.pop().unwrap().await.unwrap_err(), Crowded::All(6));
    assert_eq!(turns.counts(), (1, 6));
}

#[tokio::test(start_paused = true)]
async fn free_turns_go_to_addresses_and_their_connections_one_after_the_other() {
    let turns = Turns::new(Limits { running: 1, ..LIMITS });
    let first = turns.turn(client(1, 1)).await.unwrap();
    let (ran, mut order) = tokio::sync::mpsc::unbounded_channel();
    for (address, port) in [(1, 1), (1, 1), (1, 1), (1, 2), (2, 1), (2, 1)] {
        let (turns, ran) = (turns.clone(), ran.clone());
        tokio::spawn(async move {
            let turn = turns.turn(client(address, port)).await.unwrap();
            ran.send((address, port)).unwrap();
            drop(turn);
        });
        tokio::task::yield_now().await;
    }
    drop((first, ran));
    let mut came = Vec::new();
    while let Some(requester) = order.recv().await {
        came.push(requester);
    }
    assert_eq!(came, [(1, 1), (2, 1), (1, 2), (2, 1), (1, 1), (1, 1)]);
    assert_eq!(turns.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_turn_of_a_slow_client_is_revoked_only_while_another_waits() {
    let turns = Turns::new(Limits { running: 1, ..LIMITS });
    let mut slow = turns.turn(client(1, 1)).await.unwrap();
    let (released, revoked) = oneshot::channel();
    slow.on_revoke(move || released.send(()).unwrap());
    slow.gave(1);
    tokio::time::sleep(MAX_PAUSE * 10).await;
    assert!(!slow.holder.revoked.load(Ordering::Relaxed));
    let next = turns.turn(client(2, 1)).now_or_never().unwrap().unwrap();
    revoked.await.unwrap();
    drop(slow);
    assert_eq!(turns.counts(), (1, 0));
    next.set_abandoned(true);
    assert!(turns.turn(client(2, 1)).now_or_never().is_some(), "an abandoned turn is free at once");
}

#[tokio::test(start_paused = true)]
async fn a_client_keeps_its_turn_at_the_minimum_rate_and_loses_it_below() {
    for (rate, keeps) in [(MIN_RATE, true), (MIN_RATE / 2, false)] {
        let turns = Turns::new(Limits { running: 1, ..LIMITS });
        let mut reader = turns.turn(client(1, 1)).await.unwrap();
        let (turns, piece) = (turns.clone(), rate / 5);
        let next = tokio::spawn(async move { turns.turn(client(2, 1)).await.map(drop) });
        for _ in 0..50 {
            reader.gave(piece);
            tokio::time::sleep(Duration::from_millis(200)).await;
            reader.taken();
        }
        assert_eq!(!next.is_finished(), keeps, "{rate} bytes a second");
        drop(reader);
        next.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_server_does_not_make_the_client_late() {
    let turns = Turns::new(Limits { running: 1, ..LIMITS });
    let mut reader = turns.turn(client(1, 1)).await.unwrap();
    let waiting = turns.clone();
    let next = tokio::spawn(async move { waiting.turn(client(2, 1)).await.map(drop) });
    for _ in 0..5 {
        reader.taken();
        tokio::time::sleep(MAX_PAUSE * 10).await;
        reader.gave(1);
    }
    assert!(!next.is_finished());
    drop(reader);
    next.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_no_task_took_is_free_again() {
    let turns = Turns::new(Limits { running: 1, ..LIMITS });
    let first = turns.turn(client(1, 1)).await.unwrap();
    let mut granted = Box::pin(turns.turn(client(2, 1)));
    assert!(granted.as_mut().now_or_never().is_none());
    drop(first);
    assert_eq!(turns.counts(), (1, 0));
    drop(granted);
    assert_eq!(turns.counts(), (0, 0));
}
