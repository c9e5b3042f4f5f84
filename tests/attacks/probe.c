/* What busybox cannot try from within a container: prints `ok` when the kernel let it through, else why not.
 * probe socket FAMILY TYPE | probe listen PORT SECONDS | probe send ADDRESS PORT TEXT (octal escapes by the shell) |
 * probe spoof INTERFACE SOURCE-IP SOURCE-MAC DESTINATION-IP DESTINATION-MAC PORT */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void mac(const char *text, unsigned char *out) {
    sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", out, out + 1, out + 2, out + 3, out + 4, out + 5);
}

static uint16_t sum(const void *data, int size) {
    uint32_t total = 0;
    for (const uint16_t *word = data; size > 0; size -= 2) total += *word++;
    while (total >> 16) total = (total & 0xffff) + (total >> 16);
    return ~total;
}

static int spoof(char **a) {
    unsigned char frame[64] = {0};
    mac(a[4], frame);
    mac(a[2], frame + 6);
    frame[12] = 8;
    unsigned char *ip = frame + 14, *udp = ip + 20;
    const char *data = "ATKSPOOF";
    ip[0] = 0x45, ip[3] = 20 + 8 + 8, ip[8] = 64, ip[9] = 17;
    inet_pton(AF_INET, a[1], ip + 12);
    inet_pton(AF_INET, a[3], ip + 16);
    uint16_t check = sum(ip, 20), port = htons(atoi(a[5]));
    memcpy(ip + 10, &check, 2);
    memcpy(udp, &port, 2), memcpy(udp + 2, &port, 2);
    udp[5] = 16;
    memcpy(udp + 8, data, 8);
    int s = socket(AF_PACKET, SOCK_RAW, htons(0x0800));
    if (s < 0) return perror("socket"), 1;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(a[0]), .sll_halen = 6};
    memcpy(to.sll_addr, frame, 6);
    for (int n = 0; n < 5; n++, usleep(100000))
        if (sendto(s, frame, 14 + 36, 0, (struct sockaddr *)&to, sizeof to) < 0) return perror("sendto"), 1;
    return puts("ok"), 0;
}

/* UDP: what comes within some seconds is printed. */
static int hear(int port, int seconds) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = seconds};
    char data[2048];
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(s, (struct sockaddr *)&at, sizeof at)) return perror("bind"), 1;
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (ssize_t got; (got = recv(s, data, sizeof data, 0)) > 0; fflush(stdout)) fwrite(data, 1, got, stdout);
    return 0;
}

static int tell(const char *address, int port, const char *text) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    char data[512] = {8, 0, 0, 0, 0, 0, 1, 0}; /* a VXLAN header, for who takes it for one */
    strncpy(data + 8, text, sizeof data - 9);
    inet_pton(AF_INET, address, &to.sin_addr);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (sendto(s, data, 8 + strlen(text), 0, (struct sockaddr *)&to, sizeof to) < 0) return perror("sendto"), 1;
    return puts("ok"), 0;
}

int main(int count, char **a) {
    if (count == 8 && !strcmp(a[1], "spoof")) return spoof(a + 2);
    if (count == 4 && !strcmp(a[1], "listen")) return hear(atoi(a[2]), atoi(a[3]));
    if (count == 5 && !strcmp(a[1], "send")) return tell(a[2], atoi(a[3]), a[4]);
    if (count != 4) return 2;
    int s = socket(atoi(a[2]), atoi(a[3]), 0);
    if (s < 0) return printf("%s\n", strerror(errno)), 1;
    return puts("ok"), 0;
}
