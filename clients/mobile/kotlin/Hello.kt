// Two people, one message: Hello.kt SERVER TOKEN_OF_ALICE TOKEN_OF_BOB DATABASE

import kotlinx.coroutines.*
import uniffi.parlance.*
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit

class FixedToken(private val token: String) : TokenProvider {
    // In an app: from your backend, and not from a cache once one was rejected.
    override suspend fun token(rejected: Boolean) = token
}

class Inbox : Listener {
    val events = LinkedBlockingQueue<Event>()

    // Called from a thread of the client. Store the event; then return.
    override fun onEvent(event: Event) {
        events.add(event)
    }

    override fun onGap(gap: Gap) = println("page ${gap.fromSeq} to ${gap.toSeq} of ${gap.roomId}")
    override fun onSignal(signal: Signal) {}
    override fun onConnection(state: ConnectionState) = println(state)
    override fun onCommand(update: CommandUpdate) {}
    override fun onStorage(error: String?) {}
}

fun main(args: Array<String>) = runBlocking {
    val (server, alicesToken, bobsToken, database) = args
    val inbox = Inbox()
    val alice = Client(Options(server, Transport.WEB_SOCKET, "phone", database), FixedToken(alicesToken), Inbox())
    val bob = Client(Options(server, Transport.WEB_SOCKET, "tablet", null), FixedToken(bobsToken), inbox)
    val sent = alice.sendMessage(OutgoingMessage(null, "bob", "hello", null, null, "", null))
    println("sent at ${sent.seq}")
    while (true) {
        val event = inbox.events.poll(30, TimeUnit.SECONDS) ?: error("nothing arrived")
        val body = event.body
        if (body is EventBody.Message) {
            println("${event.actorId}: ${body.text}")
            break
        }
    }
    // Suspended, and back again.
    alice.enterBackground(1000.toULong())
    try {
        alice.queueMessage(OutgoingMessage(null, "bob", "asleep", null, null, "", null))
    } catch (error: ClientException.NotRunning) {
        println("in the background")
    }
    alice.enterForeground()
    alice.shutDown()
    bob.shutDown()
}
