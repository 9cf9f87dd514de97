// What an application in Java writes, against a server: futures, a loop over the events, try with resources.
package im.epode;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import im.epode.world.Server;
import im.epode.world.Way;
import im.epode.world.World;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(value = 180, unit = TimeUnit.SECONDS)
class JavaTest {
    private final Server dev = World.INSTANCE.server("dev");

    private ClientBuilder account() {
        return dev.way(Epode.builder(dev.getPassword().getJid()), Way.STARTTLS).password(dev.getPassword().getPassword());
    }

    @Test
    void aMessageToItselfComesBack() throws Exception {
        List<String> seen = new ArrayList<>();
        try (FutureClient client = Epode.connect(account()).get()) {
            assertNotNull(client.getJid());
            client.sendMessage(client.getJid(), "from Java & back").get();
            for (Event event : client.events()) {
                if (event instanceof Online) {
                    Online online = (Online) event;
                    assertEquals(client.getJid(), online.getJid());
                    assertEquals(Transport.TCP, online.getTransport());
                    seen.add("online");
                } else if (event instanceof Message) {
                    assertEquals("from Java & back", ((Message) event).getBody());
                    assertEquals("message", ((Message) event).getXml().element().getLocalName());
                    seen.add("message");
                    client.closeAsync();
                } else if (event instanceof Offline) {
                    assertEquals(Blame.STOPPED, ((Offline) event).getBlame());
                    seen.add("offline");
                }
            }
            // After the last event there is none, however often somebody asks.
            assertNull(client.nextEvent().get());
            assertFalse(client.events().iterator().hasNext());
        }
        assertEquals(List.of("online", "message", "offline"), seen);
    }

    @Test
    void twoWhoWaitGetAnEventEach() throws Exception {
        try (FutureClient client = Epode.connect(account()).get()) {
            assertInstanceOf(Online.class, client.nextEvent().get());
            CompletableFuture<Event> one = client.nextEvent();
            CompletableFuture<Event> other = client.nextEvent();
            client.sendMessage(client.getJid(), "for two").get();
            assertNotNull(one.get());
            assertNotNull(other.get());
        }
    }

    @Test
    void aRequestIsAnsweredOrFailsWithWords() throws Exception {
        try (FutureClient client = Epode.connect(account()).get()) {
            Answer answer = client.request("<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>", Duration.ofSeconds(20)).get();
            assertEquals("iq", answer.getXml().element().getLocalName());
            ExecutionException failed = assertThrows(
                ExecutionException.class, () -> client.request("<iq type='get'><query xmlns='urn:example:nothing'/></iq>").get());
            RequestFailedException refused = assertInstanceOf(RequestFailedException.class, failed.getCause());
            assertEquals("service-unavailable", refused.getCondition());
            ExecutionException invalid = assertThrows(ExecutionException.class, () -> client.send("<message").get());
            assertInstanceOf(InvalidStanzaException.class, invalid.getCause());
        }
    }

    @Test
    void aWrongPasswordIsAnExceptionWithItsReason() {
        ClientBuilder builder = dev.way(Epode.builder(dev.getPassword().getJid()), Way.STARTTLS).password("not the word");
        ExecutionException failed = assertThrows(ExecutionException.class, () -> Epode.connect(builder).get());
        LoginFailedException refused = assertInstanceOf(LoginFailedException.class, failed.getCause());
        assertEquals(Blame.LOGIN, refused.getReason().getBlame());
        assertFalse(failed.toString().contains("not the word") || builder.toString().contains("not the word"));
    }

    @Test
    void whatCannotWorkIsRefusedAtOnce() {
        ClientBuilder builder = Epode.builder("@");
        assertThrows(ConfigurationException.class, () -> Epode.connect(builder.password("of no use")));
    }

    @Test
    void aLoginThatIsCancelledEnds() throws Exception {
        Server silent = World.INSTANCE.server("silent");
        CompletableFuture<FutureClient> login =
            Epode.connect(silent.way(Epode.builder(silent.getPassword().getJid()), Way.STARTTLS).password("of no use"));
        assertTrue(login.cancel(true));
        assertThrows(CancellationException.class, login::get);
    }

    @Test
    void aThreadThatIsInterruptedStopsWaitingAndLosesNothing() throws Exception {
        try (FutureClient client = Epode.connect(account()).get()) {
            assertInstanceOf(Online.class, client.nextEvent().get());
            Thread.currentThread().interrupt();
            assertThrows(CancellationException.class, () -> client.events().iterator().next());
            assertTrue(Thread.interrupted(), "the flag was kept");
            client.sendMessage(client.getJid(), "still here").get();
            for (Event event : client.events()) {
                if (event instanceof Message) {
                    assertEquals("still here", ((Message) event).getBody());
                    break;
                }
            }
        }
    }

    @Test
    void anInterruptDoesNotLeaveAClientHalfClosed() throws Exception {
        FutureClient client = Epode.connect(account()).get();
        Thread.currentThread().interrupt();
        client.close();
        assertTrue(Thread.interrupted(), "the flag was kept");
        assertNotNull(client.getOffline());
        ExecutionException closed = assertThrows(ExecutionException.class, () -> client.sendMessage("bob@cert.localhost", "too late").get());
        assertInstanceOf(NotOnlineException.class, closed.getCause());
    }
}
