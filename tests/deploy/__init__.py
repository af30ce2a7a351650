"""What rtchat is run with elsewhere: manifests, images, proxies, workflows; checked here."""
