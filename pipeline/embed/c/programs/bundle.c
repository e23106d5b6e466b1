/* The files of a bundle, of which none is used whose digest does not match. */
#define _POSIX_C_SOURCE 200112L /* S_ISREG */
#include "bundle.h"
#include "fail.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FORMAT = 2 };                     /* of manifest.json and golden.json, and older ones */
enum { HEX = 2 * SHA256_DIGEST_LENGTH }; /* digits of a digest */
static const double LIMIT = 64.0 * 1024 * 1024;     /* bytes of the manifest */
static const char BEFORE[] = "{\n  \"sha256\": \""; /* the seal stands between these */
static const char AFTER[] = "\",\n";

/* A regular file, which has `bytes` of them, or as many as a manifest may have. */
static unsigned char *read_file(const char *folder, const char *name, const double *bytes,
                                size_t *size) {
    char path[4096];
    unsigned char *content;
    struct stat found;
    FILE *file;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path ||
        stat(path, &found) != 0 || !S_ISREG(found.st_mode) || (!bytes && found.st_size > LIMIT))
        fail(MALFORMED, "cannot read %s/%s; name the bundle's folder with --model", folder, name);
    if (bytes && *bytes != (double)found.st_size)
        fail(CHANGED, "%s was changed after its export; export it anew", path);
    *size = (size_t)found.st_size;
    content = malloc(*size + 1);
    if (content == NULL)
        fail(MALFORMED, "%s does not fit into memory", path);
    file = fopen(path, "rb");
    if (file == NULL || fread(content, 1, *size, file) != *size)
        fail(MALFORMED, "cannot read %s; name the bundle's folder with --model", path);
    fclose(file);
    return content;
}

static int has_digest(const unsigned char *content, size_t size, const char *hex) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char found[HEX + 1];
    size_t k;
    SHA256(content, size, digest);
    for (k = 0; k < sizeof digest; k++)
        snprintf(found + 2 * k, 3, "%02x", digest[k]);
    return strncmp(found, hex, HEX + 1) == 0;
}

static cJSON *parse(const char *name, const unsigned char *content, size_t size) {
    cJSON *json = cJSON_ParseWithLength((const char *)content, size);
    double format;
    if (!cJSON_IsObject(json))
        fail(MALFORMED, "%s is not JSON; export it anew", name);
    format = number(json, "format");
    if (format > FORMAT)
        fail(MALFORMED, "%s has format %g; this program reads %d; update it", name, format, FORMAT);
    return json;
}

/* The seal is the digest of the file without its line. Manifests of earlier versions have none. */
cJSON *open_manifest(const char *folder) {
    const size_t seal = sizeof BEFORE - 1, after = seal + HEX, start = after + sizeof AFTER - 3;
    size_t size, skipped = 0;
    unsigned char *content = read_file(folder, "manifest.json", NULL, &size);
    char hex[HEX + 1] = "";
    cJSON *manifest;
    if (size > start && memcmp(content, BEFORE, seal) == 0 &&
        memcmp(content + after, AFTER, sizeof AFTER - 1) == 0) {
        memcpy(hex, content + seal, HEX);
        memcpy(content + start, BEFORE, 2); /* the first line goes on behind that of the seal */
        skipped = start;
        if (!has_digest(content + start, size - start, hex))
            fail(CHANGED, "%s/manifest.json was changed after its export; export it anew", folder);
    }
    manifest = parse("manifest.json", content + skipped, size - skipped);
    if (strcmp(manifest->child->string, "format") != 0)
        fail(CHANGED, "%s/manifest.json was changed after its export; export it anew", folder);
    free(content);
    return manifest;
}

cJSON *read_listed(const char *folder, const cJSON *manifest, const char *name) {
    const cJSON *entry = member(member(manifest, "files"), name);
    const double bytes = number(entry, "bytes");
    size_t size;
    unsigned char *content = read_file(folder, name, &bytes, &size);
    cJSON *json;
    if (!has_digest(content, size, string(entry, "sha256")))
        fail(CHANGED, "%s/%s was changed after its export; export it anew", folder, name);
    json = parse(name, content, size);
    free(content);
    return json;
}

const cJSON *state_pair(const cJSON *manifest) {
    if (number(manifest, "format") < 2)
        return member(manifest, "state");
    return list(manifest, "states")->child;
}

const char *name_of(const cJSON *manifest, const char *side, const char *state) {
    const cJSON *spec;
    cJSON_ArrayForEach(spec, list(manifest, side)) {
        if (strcmp(string(spec, "name"), state) != 0)
            return string(spec, "name");
    }
    fail(MALFORMED, "manifest.json has nothing but a state in %s; export it anew", side);
    return NULL;
}

const cJSON *member(const cJSON *object, const char *key) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    if (value == NULL)
        fail(MALFORMED, "'%s' is missing in manifest.json or golden.json; export it anew", key);
    return value;
}

const cJSON *list(const cJSON *object, const char *key) {
    const cJSON *value = member(object, key);
    if (!cJSON_IsArray(value) || cJSON_GetArraySize(value) == 0)
        fail(MALFORMED, "'%s' is no list in manifest.json or golden.json, or empty; export it anew",
             key);
    return value;
}

double number(const cJSON *object, const char *key) {
    const cJSON *value = member(object, key);
    if (!cJSON_IsNumber(value))
        fail(MALFORMED, "'%s' is no number in manifest.json or golden.json; export it anew", key);
    return value->valuedouble;
}

const char *string(const cJSON *object, const char *key) {
    const cJSON *value = member(object, key);
    if (!cJSON_IsString(value))
        fail(MALFORMED, "'%s' is no string in manifest.json or golden.json; export it anew", key);
    return value->valuestring;
}

double *tensor(const cJSON *object, const char *key, size_t *shape, size_t axes) {
    const cJSON *value = member(object, key), *data = member(value, "data"), *item;
    size_t size = 1, axis = 0;
    double *numbers, *next;
    cJSON_ArrayForEach(item, member(value, "shape")) {
        double found = cJSON_IsNumber(item) ? item->valuedouble : 0;
        if (axis == axes || found < 1 || found > 1e9 || (shape[axis] && found != shape[axis]))
            break;
        shape[axis] = (size_t)found;
        size *= shape[axis++];
    }
    if (item != NULL || axis < axes || (size_t)cJSON_GetArraySize(data) != size)
        fail(MALFORMED,
             "golden.json: the shape or size of '%s' does not fit "
             "the model; export it anew",
             key);
    next = numbers = malloc(size * sizeof *numbers);
    if (numbers == NULL)
        fail(MALFORMED, "golden.json: '%s' does not fit into memory", key);
    cJSON_ArrayForEach(item, data) {
        if (!cJSON_IsNumber(item))
            fail(MALFORMED, "golden.json: '%s' has a value that is no number; export it anew", key);
        *next++ = item->valuedouble;
    }
    return numbers;
}
