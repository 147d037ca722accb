plugins {
    id("com.android.library") version "8.7.3"
    kotlin("android") version "2.0.21"
}

layout.buildDirectory = file("../target/android/build")

android {
    namespace = "org.parlance"
    compileSdk = 35
    defaultConfig {
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
    }
    sourceSets["main"].apply {
        kotlin.srcDir("../target/android/bindings")
        jniLibs.srcDir("../target/android/libraries")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
}

dependencies {
    api("net.java.dev.jna:jna:5.14.0@aar")
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.8.0")
}
