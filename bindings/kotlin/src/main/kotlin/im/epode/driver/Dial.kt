// A TCP connection that can be given up from any thread at any moment.
package im.epode.driver

import java.io.IOException
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.Proxy
import java.net.Socket
import java.net.SocketException
import java.net.UnknownHostException

/** Holds the one socket that somebody may be blocked on: closing it ends the wait. */
internal class Dial : AutoCloseable {
    private var socket: Socket? = null
    private var closed = false

    /** Connects to the host at any of its addresses. Blocks. */
    fun connect(host: String, port: Int): Socket {
        val addresses = InetAddress.getAllByName(host)
        var failure: IOException = UnknownHostException(host)
        for ((index, address) in addresses.withIndex()) {
            // Not even by the JVM's own settings: a plain Socket obeys socksProxyHost.
            val socket = adopt(Socket(Proxy.NO_PROXY))
            try {
                socket.tcpNoDelay = true
                // The last one has all the time that the engine gives.
                socket.connect(InetSocketAddress(address, port), if (index < addresses.lastIndex) ONE_ADDRESS_MS else 0)
                return socket
            } catch (error: IOException) {
                socket.close()
                if (synchronized(this) { closed }) throw error
                failure = error
            }
        }
        throw failure
    }

    private fun adopt(socket: Socket): Socket = synchronized(this) {
        if (closed) {
            socket.close()
            throw SocketException("Socket closed")
        }
        this.socket = socket
        socket
    }

    override fun close() {
        synchronized(this) {
            closed = true
            socket
        }?.close()
    }

    private companion object {
        /** How long one address may take before the next is tried. */
        const val ONE_ADDRESS_MS = 3_000
    }
}
