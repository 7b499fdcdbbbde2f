"""The objects that users write and read: types, their CRD, and the small grammars in their fields."""

from rollcall.api.monitoredservice import (
    API_VERSION,
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    InvalidMonitoredServiceError,
    MonitoredService,
)

__all__ = ["API_VERSION", "GROUP", "KIND", "PLURAL", "VERSION", "InvalidMonitoredServiceError", "MonitoredService"]
