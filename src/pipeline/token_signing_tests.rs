//! Whose turn it is to have a token signed, and who is turned away.

use std::sync::Mutex;
use std::time::Instant;

use super::*;

fn asker(block: u64) -> Asker {
    Asker { block, network: block, user: block }
}

/// A place where one thread signs; nothing is signed before the first signature is let go.
fn signing() -> Arc<Signing> {
    let mut signing = Signing::new(Clock::system(), &Metrics::default());
    signing.threads = 1;
    Arc::new(signing)
}

/// Waits until so many wait.
async fn until_waiting(signing: &Signing, class: Class, number: usize) {
    let end = Instant::now() + WAIT;
    while signing.queue(class).waiting() < number {
        assert!(Instant::now() < end, "{number} of {class:?}");
        tokio::task::yield_now().await;
    }
}

/// Holds the only thread until the sender goes.
async fn hold(
    signing: &Arc<Signing>,
) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Limited>>) {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (began, begins) = oneshot::channel();
    let first = Arc::clone(signing);
    let task = tokio::spawn(async move {
        first
            .run(asker(0), Class::Identified, move || {
                let _ = began.send(());
                let _ = held.recv();
            })
            .await
    });
    begins.await.unwrap();
    (hold, task)
}

#[tokio::test]
async fn identified_clients_come_first_and_anonymous_ones_have_every_eighth_turn_field_r2() {
    let signing = signing();
    let (hold, first) = hold(&signing).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (class, number, waiting) in
        (0..20).map(|n| (Class::Anonymous, n, n + 1)).chain((0..20).map(|n| (Class::Identified, n, n + 1)))
    {
        let (signing_, order) = (Arc::clone(&signing), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            signing_.run(asker(number + 1), class, move || order.lock().unwrap().push(class)).await
        }));
        until_waiting(&signing, class, usize::try_from(waiting).unwrap()).await;
    }
    drop(hold);
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert_eq!(first.await.unwrap(), Ok(()));
    let order = order.lock().unwrap();
    let last = order.iter().rposition(|class| *class == Class::Identified).unwrap();
    let before = order[..last].iter().filter(|class| **class == Class::Anonymous).count();
    assert!((1..=3).contains(&before), "{order:?}");
}

#[tokio::test]
async fn a_flood_of_one_network_takes_no_place_of_another_and_the_rest_is_told_to_come_again_field_r2() {
    let signing = signing();
    let (hold, _first) = hold(&signing).await;
    let mut flood = Vec::new();
    for number in 0..2 * ANONYMOUS_PLACES {
        let flooder = Arc::clone(&signing);
        flood.push(tokio::spawn(async move { flooder.run(asker(1), Class::Anonymous, || ()).await }));
        until_waiting(&signing, Class::Anonymous, (number + 1).min(ANONYMOUS_PLACES)).await;
    }
    let other = Arc::clone(&signing);
    let other = tokio::spawn(async move { other.run(asker(2), Class::Anonymous, || ()).await });
    let identified = Arc::clone(&signing);
    let identified = tokio::spawn(async move { identified.run(asker(1), Class::Identified, || ()).await });
    until_waiting(&signing, Class::Identified, 1).await;
    // The place of another was given up before the first signature.
    let end = Instant::now() + WAIT;
    while flood.iter().filter(|task| task.is_finished()).count() < ANONYMOUS_PLACES + 1 {
        assert!(Instant::now() < end, "{}", flood.iter().filter(|task| task.is_finished()).count());
        tokio::task::yield_now().await;
    }
    drop(hold);
    assert_eq!(other.await.unwrap(), Ok(()));
    assert_eq!(identified.await.unwrap(), Ok(()));
    let mut signed = 0;
    for task in flood {
        match task.await.unwrap() {
            Ok(()) => signed += 1,
            Err(limited) => assert_eq!(limited, Limited::Busy(RETRY_AFTER)),
        }
    }
    assert_eq!(signed, ANONYMOUS_PLACES - 1);
}

#[tokio::test]
async fn nothing_is_signed_for_a_client_that_hung_up_and_a_panic_ends_one_signature_alone() {
    let signing = signing();
    let (hold, _first) = hold(&signing).await;
    let signed = Arc::new(AtomicUsize::new(0));
    let (gone, count) = (Arc::clone(&signing), Arc::clone(&signed));
    let gone = tokio::spawn(async move {
        gone.run(asker(1), Class::Identified, move || count.fetch_add(1, Ordering::SeqCst)).await
    });
    until_waiting(&signing, Class::Identified, 1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let broken = Arc::clone(&signing);
    let broken =
        tokio::spawn(async move { broken.run(asker(2), Class::Identified, || panic!("seeded")).await });
    until_waiting(&signing, Class::Identified, 2).await;
    drop(hold);
    assert_eq!(broken.await.unwrap(), Err::<(), _>(Limited::Busy(RETRY_AFTER)));
    assert_eq!(signing.run(asker(3), Class::Identified, || 7).await, Ok(7));
    assert_eq!(signed.load(Ordering::SeqCst), 0);
    assert_eq!(signing.queue(Class::Identified).waiting(), 0);
}
