"""The live channel: positions to browsers over WebSocket, and the page that shows them."""
