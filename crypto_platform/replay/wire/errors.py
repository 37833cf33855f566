"""A vendor's refusal on its way to the client."""


class VendorError(Exception):
    """An answer that says no in the vendor's own words.

    Parameters
    ----------
    status : int
        HTTP status; some vendors refuse with 200.
    payload : object
        JSON body.
    """

    def __init__(self, status: int, payload: object) -> None:
        super().__init__(f"HTTP {status}: {payload}")
        self.status = status
        self.payload = payload
