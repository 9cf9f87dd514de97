// The library is the one that the generated sources belong to.
import Epode
import XCTest

final class VersionTests: XCTestCase {
    func testTheLibraryIsLoadedAndSaysItsVersion() {
        XCTAssertEqual(version.split(separator: ".").count, 3, version)
    }
}
