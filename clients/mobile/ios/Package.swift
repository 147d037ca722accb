// swift-tools-version:5.9
import PackageDescription

let package = Package(
  name: "Parlance",
  platforms: [.iOS(.v15)],
  products: [.library(name: "Parlance", targets: ["Parlance"])],
  targets: [
    // For a package that others fetch: `url` and `checksum` of Parlance.xcframework.zip in place of `path`.
    .binaryTarget(name: "parlanceFFI", path: "Parlance.xcframework"),
    .target(name: "Parlance", dependencies: ["parlanceFFI"]),
  ]
)
