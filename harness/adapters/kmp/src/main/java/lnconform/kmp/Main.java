package lnconform.kmp;

import fr.acinq.lightning.wire.OfferTypes;
import fr.acinq.secp256k1.jni.OSInfo;
import java.io.BufferedInputStream;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;

/**
 * The adapter {@code kmp}: codec operations of the harness's protocol, answered by lightning-kmp.
 * One JSON object a line on standard input, one a line on standard output. No rule of a protocol
 * is written here: what lightning-kmp does not offer is not listed, and what it refuses is refused
 * in its words.
 *
 * <p>{@code --version} tries everything that the operations lean on, prints name and version, and
 * ends. {@code --unpack FOLDER} lays the native library there, for the installer.
 */
public final class Main {
    private Main() {}

    /** Where the native library lies beside the program. */
    private static final String NATIVE = "native";

    public static void main(String[] args) throws Exception {
        Path home = home(Main.class).getParent();
        // From its place in the installation. Else it would be unpacked into a folder for
        // temporary files, where a process that is killed leaves it.
        System.setProperty("fr.acinq.secp256k1.lib.path", home.resolve(NATIVE).toString());
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, "UTF-8");
        // Standard output belongs to the protocol, whatever a library prints.
        System.setOut(System.err);
        if (args.length == 2 && args[0].equals("--unpack")) {
            unpack(Path.of(args[1]));
        } else if (args.length == 1 && args[0].equals("--version")) {
            SelfCheck.run(version());
            out.println("kmp " + version());
            out.flush();
        } else if (args.length == 0) {
            InputStream in = new BufferedInputStream(new FileInputStream(FileDescriptor.in), 1 << 16);
            new Protocol(version()).serve(in, out);
        } else {
            System.err.println("kmp has the options --version and --unpack FOLDER, and no others");
            System.exit(2);
        }
    }

    /** The file that a class was read from. */
    private static Path home(Class<?> of) {
        CodeSource source = of.getProtectionDomain().getCodeSource();
        try {
            return Path.of(source.getLocation().toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(source.getLocation() + " is no file", e);
        }
    }

    /**
     * lightning-kmp's version. It has none in its code and none in its manifest: only the name of
     * its file tells, which is that of the registry.
     */
    static String version() {
        String file = home(OfferTypes.class).getFileName().toString();
        String name = "lightning-kmp-jvm-";
        if (!file.startsWith(name) || !file.endsWith(".jar")) {
            throw new IllegalStateException(file + " is not lightning-kmp under its own name");
        }
        return file.substring(name.length(), file.length() - ".jar".length());
    }

    private static void unpack(Path folder) throws IOException {
        String library = System.mapLibraryName("secp256k1-jni");
        String name = "/fr/acinq/secp256k1/jni/native/" + OSInfo.getNativeSuffix() + "/" + library;
        try (InputStream in = OSInfo.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new IOException("secp256k1-kmp has no native library for " + OSInfo.getNativeSuffix());
            }
            Files.createDirectories(folder.resolve(NATIVE));
            try (OutputStream to = Files.newOutputStream(folder.resolve(NATIVE).resolve(library))) {
                in.transferTo(to);
            }
        }
    }
}
