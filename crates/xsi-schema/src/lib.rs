//! XSI documents: typed requests, responses and events in their XML and JSON forms.
