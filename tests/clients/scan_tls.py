"""What TLS servers offer, as sslyze finds it by trying every version and suite that it knows.

Usage: scan_tls.py ADDRESS:PORT...
Prints one JSON object: ADDRESS:PORT -> version -> sorted IANA names of the accepted suites.
"""

import json
import sys

from sslyze import (
    ScanCommand,
    Scanner,
    ServerNetworkConfiguration,
    ServerNetworkLocation,
    ServerScanRequest,
)

VERSIONS = {
    "SSLv2": ("ssl_2_0_cipher_suites", ScanCommand.SSL_2_0_CIPHER_SUITES),
    "SSLv3": ("ssl_3_0_cipher_suites", ScanCommand.SSL_3_0_CIPHER_SUITES),
    "TLSv1": ("tls_1_0_cipher_suites", ScanCommand.TLS_1_0_CIPHER_SUITES),
    "TLSv1.1": ("tls_1_1_cipher_suites", ScanCommand.TLS_1_1_CIPHER_SUITES),
    "TLSv1.2": ("tls_1_2_cipher_suites", ScanCommand.TLS_1_2_CIPHER_SUITES),
    "TLSv1.3": ("tls_1_3_cipher_suites", ScanCommand.TLS_1_3_CIPHER_SUITES),
}


def main() -> None:
    requests = []
    for target in sys.argv[1:]:
        address, port = target.rsplit(":", 1)
        location = ServerNetworkLocation(hostname=address, port=int(port), ip_address=address)
        requests.append(
            ServerScanRequest(
                server_location=location,
                network_configuration=ServerNetworkConfiguration(
                    tls_server_name_indication="localhost", network_timeout=20, network_max_retries=3
                ),
                scan_commands={command for _, command in VERSIONS.values()},
            )
        )
    scanner = Scanner(per_server_concurrent_connections_limit=4, concurrent_server_scans_limit=2)
    scanner.queue_scans(requests)
    found = {}
    for result in scanner.get_results():
        at = f"{result.server_location.hostname}:{result.server_location.port}"
        if result.scan_result is None:
            sys.exit(f"{at}: {result.connectivity_error_trace}")
        offered = {}
        for version, (attribute, _) in VERSIONS.items():
            attempt = getattr(result.scan_result, attribute)
            if attempt.result is None:
                sys.exit(f"{at} {version}: {attempt.error_reason} {attempt.error_trace}")
            offered[version] = sorted(
                accepted.cipher_suite.name for accepted in attempt.result.accepted_cipher_suites
            )
        found[at] = offered
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
