// The native library comes out of the jar and is of our version.
package im.epode

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class LibraryTest {
    @Test
    fun `the library loads and is of the version of the classes`() {
        assertEquals(Library.VERSION, Library.version)
        Library.check()
    }
}
