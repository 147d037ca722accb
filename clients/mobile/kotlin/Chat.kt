// Says hello to bob: SERVER TOKEN, where TOKEN is that of alice.

import kotlinx.coroutines.runBlocking
import uniffi.parlance.*

// Called from a thread of the client. In an app: stores the event, and returns.
object Printer : Listener {
    override fun onEvent(event: Event) {
        val body = event.body
        if (body is EventBody.Message) println("${event.actorId}: ${body.text}")
    }

    override fun onGap(gap: Gap) {}
    override fun onSignal(signal: Signal) {}
    override fun onConnection(state: ConnectionState) = println(state)
    override fun onCommand(update: CommandUpdate) {}
    override fun onStorage(error: String?) {}
}

fun main(arguments: Array<String>) = runBlocking {
    val (server, token) = arguments
    // In an app: from its own backend, and not from a cache once one was rejected.
    val tokens = object : TokenProvider {
        override suspend fun token(rejected: Boolean) = token
    }
    val chat = Client(Options(server), tokens, Printer)
    val sent = chat.sendMessage(OutgoingMessage(toUser = "bob", text = "hello from Kotlin"))
    println("stored with seq ${sent.seq}")
    chat.shutDown()
}
