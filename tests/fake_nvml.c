/* A libnvidia-ml.so.1 of four devices, for machines without any. FAKE_NVML chooses:
 *   (nothing)  four equal devices, the last of which its scheduler forbids
 *   mixed      device 1 is of another kind
 *   divided    device 0 is divided into two parts (MIG)
 *   mismatch, hang, crash   what drivers do on a bad day
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned int u32;
enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, MISMATCH = 18 };
struct pci { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; };
struct memory { unsigned long long total, free, used; };

static long handles[] = {0, 1, 2, 3, 100, 101};
static int mode(const char *name) { const char *s = getenv("FAKE_NVML"); return s && !strcmp(s, name); }
static long number(void *handle) { return *(long *)handle; }
static int divided(void *handle) { return mode("divided") && number(handle) == 0; }
static int part(void *handle) { return number(handle) >= 100; }

int nvmlInitWithFlags(u32 flags) {
    (void)flags;
    if (mode("crash")) abort();
    if (mode("hang")) sleep(600);
    return mode("mismatch") ? MISMATCH : OK;
}
int nvmlShutdown(void) { return OK; }
int nvmlSystemGetDriverVersion(char *text, u32 room) { snprintf(text, room, "550.54.15"); return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12040; return OK; }
int nvmlDeviceGetCount_v2(u32 *count) { *count = 4; return OK; }
int nvmlDeviceGetHandleByIndex_v2(u32 index, void **handle) {
    if (index == 3 && !getenv("FAKE_NVML")) return NO_PERMISSION;
    if (index > 3) return INVALID;
    *handle = &handles[index];
    return OK;
}
int nvmlDeviceGetName(void *handle, char *text, u32 room) {
    const char *name = mode("mixed") && number(handle) == 1 ? "NVIDIA T4" : "NVIDIA H100 80GB HBM3";
    snprintf(text, room, "%s%s", name, part(handle) ? " MIG 1g.10gb" : "");
    return OK;
}
int nvmlDeviceGetUUID(void *handle, char *text, u32 room) {
    snprintf(text, room, part(handle) ? "MIG-%ld0000000-0000-4000-8000-000000000000"
                                      : "GPU-%ld0000000-aaaa-4000-8000-000000000000", number(handle) % 100);
    return OK;
}
int nvmlDeviceGetPciInfo_v3(void *handle, struct pci *info) {
    memset(info, 0, sizeof *info);
    snprintf(info->bus_id, sizeof info->bus_id, "00000000:%02lX:00.0", 0x1A + number(handle) % 100);
    return OK;
}
int nvmlDeviceGetMemoryInfo(void *handle, struct memory *memory) {
    memory->total = (part(handle) ? 10ull : 80ull) << 30;
    memory->free = memory->used = memory->total / 2;
    return OK;
}
int nvmlDeviceGetUtilizationRates(void *handle, u32 *rates) {
    if (part(handle) || number(handle) == 2) return NOT_SUPPORTED;
    rates[0] = 93 - number(handle);
    rates[1] = 40;
    return OK;
}
int nvmlDeviceGetPowerUsage(void *handle, u32 *milliwatts) { *milliwatts = 310500 + number(handle); return OK; }
int nvmlDeviceGetTemperature(void *handle, int sensor, u32 *degrees) {
    *degrees = 61 + number(handle);
    return sensor == 0 ? OK : INVALID;
}
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    *major = mode("mixed") && number(handle) == 1 ? 7 : 9;
    *minor = *major == 7 ? 5 : 0;
    return OK;
}
int nvmlDeviceGetEccMode(void *handle, int *current, int *pending) {
    if (part(handle)) return NOT_SUPPORTED;
    *current = *pending = 1;
    return OK;
}
int nvmlDeviceGetMigMode(void *handle, u32 *current, u32 *pending) {
    *current = *pending = divided(handle) ? 1 : 0;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, u32 *count) { *count = divided(handle) ? 7 : 0; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, u32 index, void **found) {
    if (!divided(handle) || index > 2 || index == 1) return INVALID; /* a slot between two parts is empty */
    *found = &handles[index == 0 ? 4 : 5];
    return OK;
}
int nvmlDeviceGetGpuInstanceId(void *handle, u32 *id) { *id = 7 + number(handle) % 100; return OK; }
int nvmlDeviceGetComputeInstanceId(void *handle, u32 *id) { (void)handle; *id = 0; return OK; }
