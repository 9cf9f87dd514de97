// A runner of the bench: epode or smack, then the workload's path. What it reads and answers is in tests/bench/README.md.
package im.epode.bench

import java.io.File
import kotlin.system.exitProcess
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive

/** What plays the workload. */
interface Runner {
    /** Plays [count] stanzas of these bytes, [together] in one read, and adds up the lengths of what was read of them. */
    fun play(stanza: ByteArray, together: Int, count: Int): Long

    /** Calls what does next to nothing; false where there is no such thing. */
    fun nop(count: Int): Boolean
}

class Workload(file: File) {
    private val json = Json.parseToJsonElement(file.readText()).jsonObject
    val client = json.getValue("client").jsonObject
    val now = number("now")
    val link = number("link")
    val verifiedName = text(json, "verified_name")
    val login = json.getValue("login").jsonArray.map { it.jsonPrimitive.content }

    fun stanza(size: String): ByteArray = text(json.getValue("sizes").jsonObject.getValue(size).jsonObject, "stanza").toByteArray()

    private fun number(name: String): ULong = text(json, name).toULong()

    companion object {
        fun text(json: JsonObject, name: String): String = json.getValue(name).jsonPrimitive.content
    }
}

fun main(arguments: Array<String>) {
    val workload = Workload(File(arguments.last()))
    val runner = when (arguments.first()) {
        "epode" -> EpodeRunner(workload)
        "smack" -> SmackRunner(workload)
        else -> {
            System.err.println("a runner is epode or smack, not ${arguments.first()}")
            exitProcess(2)
        }
    }
    // Until the compiler of the JVM has seen what there is to see.
    for (size in listOf("small", "large")) for (together in listOf(1, 100)) runner.play(workload.stanza(size), together, WARM_UP)
    runner.nop(WARM_UP)
    println("ready")
    for (line in generateSequence(::readLine)) {
        val (case, size, count) = line.split(' ')
        println(answer(runner, case, workload.stanza(size), count.toInt()))
    }
    // Smack has threads that nothing ends.
    exitProcess(0)
}

private const val WARM_UP = 20_000

private fun answer(runner: Runner, case: String, stanza: ByteArray, count: Int): String {
    val start = System.nanoTime()
    val sum = when (case) {
        "nop" -> if (runner.nop(count)) 0L else return "0 0"
        "single" -> runner.play(stanza, 1, count)
        "batch" -> runner.play(stanza, 100, count)
        else -> throw IllegalArgumentException("a case named $case")
    }
    return "${(System.nanoTime() - start).toDouble() / count} $sum"
}

/** The length in UTF-8 without encoding it: what counts is that the text was there to be read. */
fun utf8(text: String?): Int {
    var bytes = 0
    for (at in 0 until (text ?: return 0).length) {
        val char = text[at]
        // Each half of a pair stands for two of its four bytes.
        bytes += if (char.code < 0x80) 1 else if (char.code < 0x800 || char.isSurrogate()) 2 else 3
    }
    return bytes
}
