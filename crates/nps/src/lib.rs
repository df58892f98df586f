//! NotificationPushServer: call pushes to APNs and FCM.
